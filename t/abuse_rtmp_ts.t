#!/usr/bin/perl

# RTMP out of what cannot be: TS that changes, lies or is noise, and servers that
# do not answer, answer nonsense, or stop reading.  Memory stays bounded, the
# event loop is never held up, each output says what is wrong and tries again,
# and what is beside it, of the same flow too, does not lose a frame.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use IO::Socket::IP;
use Socket qw/ SOCK_DGRAM /;
use Test::More;
use Time::HiRes qw/ time sleep /;

use MC;
use MC::Datagram;
use MC::Media qw/ sample /;
use MC::RtmpRaw qw/ amf flv_tags numbered publish_numbered play_numbered /;
use MC::Ts;


my $t = MC->new(log => 'notice', workers => 1, start => 0, limit => 100);

sample($t, 'in.flv', seconds => 1);

my ($config) = map { $_->[2] } grep { $_->[0] == 9 } flv_tags($t, 'in.flv');
my $sets = MC::Ts::annexb($config);


# servers to publish to

sub noise {
    open my $fh, '<:raw', '/dev/urandom' or die $!;
    read $fh, my $data, $_[0];
    return $data;
}

my $rubbish = noise(1_000_000);

# answers up to a command, and closes there

sub until_command {
    my ($last) = @_;

    return sub {
        my ($c, $m, @messages) = @_;

        return 1 unless $c->shake;

        for (grep { $_->{args} } @messages) {
            return 0 if $_->{args}[0] eq $last;
            $c->normal($_);
        }

        return 1;
    };
}

sub answers {
    my ($sub) = @_;

    return sub {
        my ($c, $m, @messages) = @_;

        return 1 unless $c->shake;

        for (grep { $_->{args} } @messages) {
            my $r = $sub->($c, $_, @{ $_->{args} });
            return 0 unless defined $r;
            $c->normal($_) if $r;
        }

        return 1;
    };
}

# then sends for as long as it likes

sub then {
    my ($sub) = @_;

    return sub {
        my ($c, $m, @messages) = @_;

        return 1 unless $c->shake;

        $c->normal($_) for @messages;

        return $c->{up} ? $sub->($c, $m) : 1;
    };
}

sub redirect {
    my ($c, undef, $name, $tx) = @_;

    return 1 if $name ne 'connect';

    $c->message(20, 0, amf('_error', $tx, [],
        [level => 'error', code => 'NetConnection.Connect.Rejected',
         description => '[ AccessManager.Redirect ] : 302',
         ex => [code => 302, redirect => 'rtmp://127.0.0.1:1/elsewhere']]),
        msid => 0);

    return 0;
}

my %kinds = (
    mute      => sub { 1 },
    at_once   => sub { 0 },
    half      => sub { $_[0]->send("\3" . 'x' x 1000); 1 },
    c1        => sub { $_[0]->_fill; length $_[0]{in} ? 0 : 1 },
    noise     => sub { $_[0]->send(substr $rubbish, 0, 5000); 1 },
    http      => sub { $_[0]->send("HTTP/1.1 400 Bad Request\r\n\r\n"); 0 },
    connect   => until_command('connect'),
    create    => until_command('createStream'),
    publish   => until_command('publish'),
    redirect  => answers(\&redirect),
    nothing   => answers(sub { 0 }),
    chunk0    => answers(sub { $_[0]->message(1, 0, pack 'N', 0); 1 }),
    chunk2g   => answers(sub { $_[0]->message(1, 0, pack 'N', 0x7fffffff);
                               1 }),
    amf       => answers(sub { $_[0]{chunk} = 65536;
                               $_[0]->message(1, 0, pack 'N', 65536);
                               $_[0]->message(20, 0, amf('_result', 1)
                                              . "\3\0\1a" x 200_000); 0 }),
    flood     => then(sub { my ($c, $m) = @_;
                            $c->{raw} = 1;
                            $c->send($rubbish) for 1 .. 5;
                            1 }),
    huge      => then(sub { my ($c, $m) = @_;
                            return 1 if $m->{n}++ > 300;
                            $c->send("\4\0\0\0\xff\xff\xff\x09\1\0\0\0"
                                     . 'x' x 60000); 1 }),
    slow      => then(sub { $_[0]{raw} = 1; 1 }),
);

# and to play from

sub plays {
    my ($sub) = @_;

    return then(sub {
        my ($c, $m) = @_;
        return $sub->($c, $m->{n}++, $m);
    });
}

my %pulled = (
    p_noise  => plays(sub { $_[0]->message(8 + $_[1] % 2, $_[1] * 10,
                            substr $rubbish, rand 9e5, 1 + rand 3000); 1 }),
    p_meta   => plays(sub { $_[0]->message(18, 0, amf('onMetaData')
                            . substr $rubbish, rand 9e5, rand 90);
                            $_[0]->message(20, 0, substr $rubbish, rand 9e5,
                                           rand 90); 1 }),
    p_cut    => plays(sub { my ($c, $n) = @_;
                            my $f = $n ? numbered($n) : $config;
                            $c->message(9, $n * 40, substr $f, 0, rand 60);
                            1 }),
    p_big    => plays(sub { $_[0]->send("\4\0\0\0\xff\xff\xff\x09\1\0\0\0"
                                        . 'x' x 60000); 1 }),
    p_end    => plays(sub { my ($c, $n) = @_;
                            $c->message(4, 0, pack 'nN', 1, 1);
                            $c->message(20, 0, amf('onStatus', 0, undef,
                                [level => 'status',
                                 code => 'NetStream.Play.UnpublishNotify']),
                                msid => 1);
                            $n < 5 }),
    p_redir  => answers(\&redirect),
    p_close  => until_command('play'),
);

my $servers = MC::RtmpRaw::serve($t, %kinds, %pulled);

# one that is stopped in the midst, counts, and is a process of its own

my $sink = MC::RtmpRaw::serve($t, sink => then(sub { 1 }));

my %port = %{ $t->{raw_ports} };
my $outputs = join "\n", map {
    "    mc_output $_ rtmp://127.0.0.1:$port{$_}/app/name?key=hush-hush;"
} sort(keys %kinds), 'sink';
my $sources = join "\n", map {
    "mc_flow $_ { mc_source rtmp://127.0.0.1:$port{$_}/app/name;"
    . " mc_output u udp://127.0.0.1:%%pulled_o%%;"
    . " mc_output r rtmp:///live/$_-out; }"
} sort keys %pulled;

$t->{rtmp} = 'server { listen 127.0.0.1:%%rtmp%%;'
    . ' application live { live on; } }';
$t->{flows} = <<"END";
mc_flow watched { mc_source udp://127.0.0.1:%%watched%%;
                  mc_output o udp://127.0.0.1:%%watched_o%%; }
mc_flow frames {
    mc_source rtmp:///live/frames;
    mc_output played rtmp:///live/frames-out allow=all;
    mc_output tls rtmps://127.0.0.1:$port{noise}/app/name;
    mc_output tls_rtmp rtmps://127.0.0.1:$port{connect}/app/name;
    mc_output tls_mute rtmps://127.0.0.1:$port{mute}/app/name;
$outputs
}
$sources
mc_flow heavy {
    mc_source rtmp:///live/heavy;
    mc_output played rtmp:///live/heavy-out allow=all;
    mc_output slow rtmp://127.0.0.1:$port{slow}/app/name;
    mc_output sink rtmp://127.0.0.1:$port{sink}/app/heavy;
}
mc_flow bad { mc_source udp://127.0.0.1:%%bad%%;
              mc_output played rtmp:///live/bad-out allow=all;
              mc_output pushed rtmp://127.0.0.1:$port{sink}/app/bad;
              mc_output u udp://127.0.0.1:%%bad_o%%; }
END

$t->start;

my ($worker) = $t->worker_pids;

sub fds { return scalar(() = glob "/proc/$worker/fd/*") }

my $url = 'rtmp://127.0.0.1:%%rtmp%%';
my $recv = $t->mcpkt('recv', 'udp://127.0.0.1:%%watched_o%%', '--seconds', 90,
                     '--idle', 60);
my $send = $t->mcpkt('send', 'udp://127.0.0.1:%%watched%%', '--seconds', 90,
                     '--rate', '1m');
my $publisher = publish_numbered($t, "$url/live/frames", $config);

$t->wait_for(sub { $t->source('frames')->{bytes} }, 10, 'a publisher');

my $player = play_numbered($t, "$url/live/frames-out");
my $stopped = play_numbered($t, "$url/live/frames-out");
my $watcher = play_numbered($t, "$url/live/bad-out");

my $heavy = publish_numbered($t, "$url/live/heavy", $config, 60_000);

$t->wait_for(sub { $t->source('heavy')->{bytes} }, 10, 'another, of 12 Mbit/s');

my $heavy_player = play_numbered($t, "$url/live/heavy-out");
my $heavy_stopped = play_numbered($t, "$url/live/heavy-out");

$t->wait_for(sub { @{ $t->output('frames', 'played')->{peers} || [] } == 2 },
             10, 'two players');
$t->wait_for(sub { @{ $t->output('heavy', 'played')->{peers} || [] } == 2 },
             10, 'and two more');
$t->wait_for(sub { $t->output('frames', 'sink')->{state} eq 'connected' }, 10,
             'a server');

my $slowest = 0;

sub ask {
    my ($sub) = @_;

    my $start = time();
    my @r = $sub->();
    my $took = time() - $start;

    $slowest = $took if $took > $slowest;

    return $r[0];
}

sub output { my @a = @_; return ask(sub { $t->output(@a) }) }

# for 10 s

my $halted = time();

$_->signal('STOP') for $sink, $stopped, $heavy_stopped;

sub go_on {
    return if !$halted || $_[0] && time() < $halted + 10;

    $_->signal('CONT') for $sink, $stopped, $heavy_stopped;
    $halted = 0;
}


# a source of TS

my $udp = IO::Socket::IP->new(PeerHost => '127.0.0.1', Type => SOCK_DGRAM,
                              PeerPort => $t->port('bad')) or die $!;
my $drain = MC::Datagram->new(port => $t->port('bad_o'));
my $peak = 0;

# whole packets, at so many Mbit/s, the status asked for meanwhile

sub feed {
    my ($data, $rate) = @_;

    my ($at, $start, $asked) = (0, time(), 0);

    $rate ||= 10;

    while ($at < length $data) {
        $udp->send(substr $data, $at, 1316);
        $at += 1316;

        my $wait = $start + $at * 8 / $rate / 1e6 - time();
        sleep $wait if $wait > 0.002;

        if ($at - $asked > 1_250_000) {
            $asked = $at;
            output('bad', 'played');
            my $rss = $t->rss;
            $peak = $rss if $rss > $peak;
            go_on(1);
        }
    }
}

my $ts = MC::Ts->new;
my $n = 0;
my $pts = 90000;

sub psi { return $ts->pat([1, 0x100]) . $ts->pmt(1, 0x100, $_[0] // 0, 0x101,
                                                 [0x1b, 0x101]) }

sub frame {
    my (%o) = @_;

    $n++;
    $pts += 3600;

    return $ts->pes(0x101, 0xe0, $pts % 2 ** 33,
                    MC::Ts::au($n, 400, $sets), pcr => $pts % 2 ** 33,
                    %o);
}

sub frames { return join '', map { frame() } 1 .. $_[0] }

# what is good comes through, before all and after each

sub good {
    my ($what, $version) = @_;

    my $messages = 0;
    my $s = output('bad', 'played');
    my $before = $s->{rtmp}{frames} // $s->{packets};

    my $ok = $t->poll(sub {
        feed(psi($version) . frames(5), 2);
        go_on(1);
        my $s = output('bad', 'played');
        ($s->{rtmp}{frames} // $s->{packets}) > $before;
    }, 5, 0.05);

    ok($ok, "$what: then frames again") or diag(explain(output('bad',
                                                               'played')));
    ok(($t->worker_pids)[0] == $worker, "$what: the worker lives");
}

good('at first');

my $rss = $t->rss;

my %wrong = (
    'a PMT that changes' => sub {
        for my $v (1 .. 30) {
            my $pid = 0x101 + $v % 3;
            feed($ts->pat([1, 0x100])
                 . $ts->pmt(1, 0x100, $v, $pid,
                            [(0x1b, 0x24, 0x02, 0x06)[$v % 4], $pid],
                            [(0x0f, 0x03, 0x11, 0x81)[$v % 4], 0x200 + $v])
                 . $ts->pes($pid, 0xe0, $pts, MC::Ts::au($n, 400, $sets),
                            pcr => $pts)
                 . $ts->pes(0x200 + $v, 0xc0, $pts, "\xff\xf1\x4c\x80\1\x9f\xfc"
                            . 'x' x 50));
            $pts += 3600;
        }
    },
    '60 streams' => sub {
        feed($ts->pat([1, 0x100])
             . $ts->pmt(1, 0x100, 9, 0x101,
                        map { [(0x1b, 0x0f, 6)[$_ % 3], 0x101 + $_,
                               "\x0a\4eng\0"] } 0 .. 59)
             . join '', map { $ts->pes(0x101 + $_, 0xe0, $pts,
                                       noise(100 + $_)) } 0 .. 59);
    },
    '40 programmes' => sub {
        feed($ts->pat(map { [$_, 0x100 + $_] } 1 .. 40)
             . join '', map { $ts->pmt($_, 0x100 + $_, 1, 0x200 + $_,
                                       [0x1b, 0x200 + $_]) } 1 .. 40);
        feed($ts->pat(map { [$_ & 1, $_ & 0x1fff] } 1 .. 40));
    },
    'tables that lie' => sub {
        for (1 .. 200) {
            my $p = psi($_ & 31);
            substr($p, 5 + int rand 30, 1) = chr int rand 256;
            substr($p, 188 + 5 + int rand 30, 1) = chr int rand 256;
            feed($p, 20);
        }
    },
    'lengths that lie' => sub {
        feed(psi() . join '', map { frame(len => $_), frame(header_len => $_) }
             1, 2, 3, 8, 100, 255, 65535 & 0xff);
        feed(psi() . join '', map { frame(len => $_) } 1000, 65535);
        feed($ts->packets(0x101, "\0\0\1\xe0" . substr("\0\0\x80\x80\x05", 0,
                          $_))) for 0 .. 5;
    },
    'timestamps that jump' => sub {
        for my $to (0, 2 ** 33 - 1, 90000, 2 ** 32, 1, 7200 * 90000, 0, 5) {
            $pts = $to;
            feed(psi() . frames(3));
        }
        feed(psi() . join '', map { $pts -= 3600; frame() } 1 .. 30);
        $pts += 2 ** 32;
    },
    'scrambled' => sub {
        feed(psi() . join '', map { frame(scrambled => 2 + $_ % 2) } 1 .. 30);
    },
    'parameters that change with each frame' => sub {
        for my $k (1 .. 60) {
            my $s = $sets;
            substr($s, 8 + $k % 10, 1) ^= chr(1 << $k % 8);
            $n++;
            $pts += 3600;
            feed(psi() . $ts->pes(0x101, 0xe0, $pts,
                                  MC::Ts::au($n, 400, $s), pcr => $pts));
        }
    },
    'noise where frames are' => sub {
        feed(psi() . join '', map {
            $ts->packets(0x101, noise(5000)),
            $ts->pes(0x101, 0xe0, $pts += 3600, noise(5000))
        } 1 .. 100);
    },
    'start codes without end' => sub {
        feed(psi() . $ts->pes(0x101, 0xe0, $pts += 3600, "\0\0\1" x 300_000),
             30);
        feed(psi() . $ts->pes(0x101, 0xe0, $pts += 3600,
                              "\0\0\1\x67\x42" x 100_000), 30);
        feed(psi() . $ts->pes(0x101, 0xe0, $pts += 3600,
                              "\0\0\1\x65\x88" x 100_000), 30);
    },
    'noise of 20 Mbit/s' => sub {
        my $data = noise(188 * 7 * 9500);
        substr($data, $_ * 188, 1) = 'G' for 0 .. length($data) / 188 - 1;
        feed($data, 20);
    },
    'a packet of 30 MB' => sub {
        feed(psi() . frame());
        my $part = $ts->packets(0x101, 'x' x (184 * 16 * 7), start => 0);
        feed($part x (30e6 / length $part), 80);
    },
);

my %says = ('scrambled' => qr/./);

for my $what (sort keys %wrong) {
    $wrong{$what}->();

    my $r = $t->rss;
    $peak = $r if $r > $peak;

    good($what);
    go_on(1);
    1 while defined $drain->recv(0);
}

# what makes nothing that can be played is said

for (['no video or audio', qr/no H\.264, HEVC, AAC/,
      sub { $ts->pat([1, 0x100]) . $ts->pmt(1, 0x100, 11, 0x101,
                                            [0x06, 0x101]) . frame() }],
     ['no PAT', qr/no PAT|nothing playable|no H\.264/,
      sub { $ts->pes(0x150, 0xe0, 0, 'x' x 1000) }])
{
    my ($what, $re, $sub) = @$_;
    my $error;

    $t->poll(sub {
        feed($sub->(), 2);
        go_on(1);
        ($error = output('bad', 'played')->{last_error} // '') =~ $re;
    }, 15, 0.05);

    like($error, $re, "$what: the output says so");
}

good('in the end', 12);

SKIP: {
    skip 'the sanitizer keeps what is freed', 1 if $t->{asan};

    # a frame, or what is taken for one, may have 16 MB, thrice

    cmp_ok($peak - $rss, '<', 60_000,
           'memory is bounded: at most ' . ($peak - $rss) . ' KiB more');
}


# those that were stopped

$t->poll(sub { go_on(1); !$halted }, 12, 0.1);

$t->wait_for(sub { output('frames', 'sink')->{state} eq 'connected'
                   && output('heavy', 'sink')->{state} eq 'connected' }, 20,
             'a server that was stopped is connected');

for my $name (qw/ slow sink /) {
    my $h = output('heavy', $name);

    ok($h->{rtmp}{dropped_frames} || $h->{dropped_packets}
       || $h->{disconnections}, "$name: loses frames, or its connection")
        or diag(explain($h));
    ok($h->{last_error} || grep({ $_->{name} eq $name
                                  && $_->{code} eq 'slow_output' }
                                $t->events('heavy')),
       "$name: is told to be slow") or diag(explain($t->events('heavy')));
}

cmp_ok(output('heavy', 'sink')->{rtmp}{queue} // 0, '<=', 10_000,
       'its queue is short');


# servers, and what is told of each

my %error = (
    mute     => qr/./, at_once => qr/closed|reset/i, half => qr/./,
    c1       => qr/closed|reset/i, noise => qr/else than RTMP/,
    http     => qr/else than RTMP|closed|reset/,
    connect  => qr/closed.*connect|reset/i, create => qr/closed|reset/i,
    publish  => qr/closed|reset/i, redirect => qr/redirect|Rejected/i,
    nothing  => qr/no answer/, chunk0 => qr/else than RTMP/,
    chunk2g  => qr/else than RTMP/, amf => qr/else than RTMP|too large/,
    flood    => qr/else than RTMP|too large/, huge => qr/too large/, tls => qr/./, tls_rtmp => qr/./,
    tls_mute => qr/./,
);

for my $name (sort keys %error) {
    my ($o, @codes);

    my $ok = $t->poll(sub {
        $o = output('frames', $name);
        @codes = grep { /failed|refused|disconnected/ } map { $_->{code} }
            grep { $_->{name} eq $name } $t->events('frames');
        $o->{last_error} && @codes
    }, 20);

    ok($ok, "$name: an event") or diag(explain($o));
    like($o->{last_error} // '', $error{$name}, "$name: $codes[-1]: "
         . ($o->{last_error} // ''));
    unlike($o->{last_error} // '', qr/hush/, "$name: no key in it");
}

my $o = output('frames', 'slow');

is($o->{state}, 'connected', 'one that reads nothing');

for my $name (sort keys %pulled) {
    my ($s, @codes);

    my $ok = $t->poll(sub {
        $s = ask(sub { $t->source($name) });
        @codes = map { $_->{code} } grep { $_->{type} eq 'input-primary' }
            $t->events($name);
        $s->{last_error} || $s->{rejected} || $name eq 'p_meta'
            || grep { $_ eq 'codec_unsupported' } @codes
    }, 20);

    ok($ok, "$name: " . ($s->{last_error} // "@codes")) or diag(explain($s));
}


# what was left alone

$send->stop;
$recv->stop;

my $got = $recv->json;
my $counts = $servers->json;

# waits grow: 1, 2, 4 s and so on

for my $name (grep { $_ ne 'slow' && $_ ne 'noise' } sort keys %kinds) {
    cmp_ok($counts->{$name}, '<=', 40, "$name: $counts->{$name} attempts");
}

is_deeply([@$got{qw/ lost duplicate reordered corrupted /}], [0, 0, 0, 0],
          "UDP beside it: all of $got->{datagrams} datagrams");

my $frames = $player->json;
my $late = $stopped->json;
my $sender = $publisher->json;

my $h = $heavy_player->json;

is($h->{lost}, 0, "of the same flow as slow ones: all of $h->{frames} frames");
is($h->{closed} + $heavy->json->{closed}, 0, 'of the same flow: not cut off');
cmp_ok($heavy_stopped->json->{frames}, '>', 0, 'a slow player got some');
is($frames->{lost}, 0, "RTMP beside it: all of $frames->{frames} frames");
is($frames->{closed} + $sender->{closed}, 0, 'RTMP beside it: not cut off');
is($t->source('frames')->{connections}, 1, 'RTMP beside it: one connection');
cmp_ok($sender->{sent} - $frames->{last}, '<', 50,
       'RTMP beside it: up to the end');
is($late->{closed}, 0, 'a player that was stopped was not cut off');
is($late->{lost}, 0, 'and has lost nothing');

my $w = $watcher->json;

is($w->{closed}, 0, 'the player of the bad flow was not cut off');
cmp_ok($slowest, '<', 0.5 * ($t->{asan} ? 4 : 1),
       sprintf 'the status was answered within %.0f ms', $slowest * 1000);
unlike($t->log, qr/hush-hush/, 'no key in the log');
cmp_ok(scalar(() = $t->log =~ /\n/g), '<=', 1500, 'the log is no flood')
    or diag(substr $t->log, -3000);

$t->finish;
done_testing();
