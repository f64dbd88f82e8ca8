#!/usr/bin/perl

# Publishers that have no right to publish, that do not speak RTMP, or send what
# no encoder should: each is refused or disconnected, with an event and a
# count; what is beside them, in the same process, does not lose a frame; and
# nothing of them is left.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ time sleep /;

use MC;
use MC::Datagram;
use MC::Media qw/ sample /;
use MC::RtmpRaw qw/ amf flv_tags numbered publish_numbered play_numbered /;


my $t = MC->new(log => 'notice', workers => $ENV{MC_WORKERS} || 2,
                limit => 100,
                rtmp => <<'END', flows => <<'END_FLOWS');
server {
    listen 127.0.0.1:%%rtmp%%;
    listen [::1]:%%rtmp%%;
    application live { live on; }
    application out { live on; }
}
server {
    listen 127.0.0.1:%%big%%;
    max_message 20m;
    application live { live on; }
    application large { live on; }
}
END
mc_flow watched { mc_source udp://127.0.0.1:%%watched%%;
                  mc_output o udp://127.0.0.1:%%watched_o%%; }
mc_flow frames  { mc_source rtmp:///live/frames;
                  mc_output o rtmp:///live/frames-out allow=all; }
mc_flow key     { mc_source rtmp:///live/key key=Open-5esame;
                  mc_output o udp://127.0.0.1:%%key_o%%; }
mc_flow in      { mc_source rtmp:///live/in; mc_output o rtmp:///out/in
                  allow=all; mc_output u udp://127.0.0.1:%%in_o%%;
                  mc_output far rtmp:///live/far allow=192.0.2.0/24; }
mc_flow large   { mc_source rtmp:///large/in;
                  mc_output u udp://127.0.0.1:%%in_o2%%; }
END_FLOWS

sample($t, 'in.flv', seconds => 2);

my @tags = flv_tags($t, 'in.flv');
my ($config) = map { $_->[2] } grep { $_->[0] == 9 } @tags;
my ($asc) = map { $_->[2] } grep { $_->[0] == 8 } @tags;
my ($aac) = map { $_->[2] } grep { $_->[0] == 8 && $_->[2] =~ /^.\x01/s } @tags;

my @workers = $t->worker_pids;

sub fds {
    return scalar(() = map { glob "/proc/$_/fd/*" } @workers);
}

# what must not notice anything of all this

my $url = 'rtmp://127.0.0.1:%%rtmp%%';
my $recv = $t->mcpkt('recv', 'udp://127.0.0.1:%%watched_o%%', '--seconds', 90,
                     '--idle', 60);
my $send = $t->mcpkt('send', 'udp://127.0.0.1:%%watched%%', '--seconds', 90,
                     '--rate', '1m');
my $publisher = publish_numbered($t, "$url/live/frames", $config);

$t->wait_for(sub { $t->source('frames')->{state} eq 'connected'
                   && $t->source('frames')->{bytes} }, 10, 'a publisher');

my $player = play_numbered($t, "$url/live/frames-out");

$t->wait_for(sub { @{ $t->output('frames', 'o')->{peers} || [] } }, 10,
             'a player');

my $slowest = 0;

sub status {
    my ($flow) = @_;

    my $start = time();
    my $status = $t->source($flow);
    my $took = time() - $start;

    $slowest = $took if $took > $slowest;

    return $status;
}

sub client {
    my ($app, %o) = @_;

    my $c = MC::RtmpRaw->new($t->port($o{port} || 'rtmp'), %o);

    $c->connect($app || 'live');
    $c->create_stream;

    return $c;
}


# refused, each with an event and a count

sub refused {
    my ($name, $what, $code, $flow, $event) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $before = $flow ? status($flow)->{rejected} : 0;
    my $c = client('live');

    is($c->publish($name), $code, "$what: $code");
    ok($c->closed(3), "$what: disconnected");

    return unless $flow;

    $t->poll(sub { status($flow)->{rejected} > $before }, 3);
    is(status($flow)->{rejected}, $before + 1, "$what: counted");
    ok(scalar(grep { $_->{code} eq $event } $t->events($flow)),
       "$what: $event");
}

my $denied = 'NetStream.Publish.Denied';
my $bad = 'NetStream.Publish.BadName';
my @key = ('key', 'rejected_key');

refused('key', 'no key', $denied, @key);
refused('key?', 'no argument', $denied, @key);
refused('key?key', 'no value', $denied, @key);
refused('key?key=', 'an empty key', $denied, @key);
refused('key?key=open-5esame', 'a wrong key', $denied, @key);
refused('key?KEY=Open-5esame', 'in capitals', $denied, @key);
refused('key?key=%4fpen-5esame%00', 'a zero after it', $denied, @key);
refused('key?key=%254fpen-5esame', 'encoded twice', $denied, @key);
refused('key?key=%zz%4', 'broken encoding', $denied, @key);
refused("key?key=\xff\xfe\x01", 'bytes', $denied, @key);
refused('key?key=' . 'x' x 5000, '5,000 characters', $denied, @key);
refused('key?key=wrong&key=Open-5esame', 'a second key', $denied, @key);
refused('nobody', 'an unknown name', $bad, 'frames', 'rejected_streamid');
refused('n' x 1000, 'a name of 1,000', $bad, 'frames', 'rejected_streamid');
refused('', 'no name', $bad, 'frames', 'rejected_streamid');
refused("key\0x", 'a name with a zero', $denied, @key);
refused('frames-out', "a player's name", $bad);

{
    my $c = client('live', from => '127.0.0.2');

    is($c->publish('frames'), $bad, 'a second publisher');
    $t->poll(sub { grep { $_->{code} eq 'rejected_busy' }
                   $t->events('frames') }, 3);
    ok(scalar(grep { $_->{code} eq 'rejected_busy' } $t->events('frames')),
       'a second publisher: rejected_busy');
}


# 200 a second, for 5 s: each says all it has to say at once

sub blob {
    my ($name, $command) = @_;

    my $c = MC::RtmpRaw->new(1, handshake => 0);

    return "\x03" . "\0" x 3072
        . $c->chunks(20, 0, amf('connect', 1, [app => 'live']), msid => 0)
        . $c->chunks(20, 0, amf('createStream', 2, undef), msid => 0)
        . $c->chunks(20, 0, amf($command || 'publish', 3, undef, $name,
                                'live'), msid => 1);
}

sub flood {
    my ($name, $seconds, $command) = @_;

    return $t->background('flood', sub {
        my ($blob, $start, $n, @open) = (blob($name, $command), time(), 0);

        while (time() < $start + $seconds) {
            my $c = MC::RtmpRaw->new($t->port('rtmp'), handshake => 0);

            $c->send($blob);
            push @open, $c;
            $n++;

            my $wait = $start + $n / 200 - time();
            sleep $wait if $wait > 0;

            # half of them do not wait for the answer

            shift(@open)->close while @open > 100 || $n % 2 && @open > 10;
        }

        # who has heard the answer has been counted

        $_->closed(2) for @open;

        return { sent => $n };
    });
}

# once to warm up

flood('key?key=wrong', 1)->wait(10);

my $fds;

$t->poll(sub { my $n = fds(); my $same = defined $fds && $n == $fds; $fds = $n;
               $same }, 5, 0.7);

my $rss = $t->rss;
my $rejected = status('key')->{rejected};
my $events = () = $t->events('key');

$t->log_mark;

my @floods = map { flood(@$_) } ['key?key=wrong', 5], ['key', 5],
                             ['far', 2, 'play'];
my $polls = 0;

while (grep { !defined $_->wait(0.1) } @floods) {
    status('key');
    $polls++;
}

my $players = (pop @floods)->json->{sent};
my $sent = 0;
$sent += $_->json->{sent} for @floods;

$t->wait_for(sub { $t->output('in', 'far')->{rejected} >= $players * 0.4 }, 5,
             "$players players are refused, and counted");

cmp_ok($sent, '>', 400, "a flood of $sent publishers");
$t->wait_for(sub { status('key')->{rejected} - $rejected >= $sent * 0.4 }, 5,
             'those that waited are counted');
cmp_ok(status('key')->{rejected} - $rejected, '<=', $sent,
       'and each once');

my @new = $t->events('key');
cmp_ok(@new - $events, '<=', 20, 'their events are merged');
cmp_ok(scalar(() = $t->log =~ /\n/g), '<=', 60, 'the log is no flood')
    or diag(substr $t->log, 0, 2000);
cmp_ok($slowest, '<', 0.5 * ($t->{asan} ? 3 : 1),
       "the status is answered meanwhile, $polls times");

$t->wait_for(sub { fds() <= $fds }, 10, 'no descriptor is left')
    or diag(fds() . " after $fds");

SKIP: {
    skip 'the sanitizer keeps what is freed', 1 if $t->{asan};
    cmp_ok($t->rss - $rss, '<', 3000, 'no memory is left')
        or diag("$rss KiB before, " . $t->rss . ' after');
}


# not RTMP, or not as it should be: the session ends, or goes on; nothing else

sub alive {
    my ($what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    status('in');

    return ok("@{[ $t->worker_pids ]}" eq "@workers", "$what: no worker died")
        || BAIL_OUT('the worker has died: ' . $t->_tail);
}

srand 7;

sub noise { return join '', map { chr int rand 256 } 1 .. $_[0] }

my %raw = (
    'noise instead of a handshake' => sub {
        my $c = MC::RtmpRaw->new($t->port('rtmp'), handshake => 0);
        $c->send(noise(8000));
        return $c;
    },
    'HTTP' => sub {
        my $c = MC::RtmpRaw->new($t->port('rtmp'), handshake => 0);
        $c->send("GET / HTTP/1.1\r\nHost: x\r\n\r\n" . ' ' x 2000);
        return $c;
    },
    'noise after the handshake' => sub {
        my $c = MC::RtmpRaw->new($t->port('rtmp'));
        $c->send(noise(5000));
        return $c;
    },
    '16 MB announced' => sub {
        my $c = client();
        $c->send("\x04\0\0\0\xff\xff\xff\x09\1\0\0\0" . 'x' x 10000);
        return ($c, 1);
    },
    'a frame of 2 MB' => sub {
        my $c = client();
        $c->publish('in');
        $c->chunk_size(65536);
        $c->tag(9, 0, $config);
        $c->tag(9, 0, numbered(1, 2_000_000));
        ok($c->closed(3), 'a frame of 2 MB: disconnected');
        $t->poll(sub { status('in')->{state} eq 'waiting' }, 5);
        like(status('in')->{last_error}, qr/max_message/,
             'a frame of 2 MB: told why');
        return ($c, 1);
    },
    'extended timestamps' => sub {
        my $c = client();
        $c->publish('in');
        $c->tag(9, 0xffffff, $config);
        $c->tag(9, $_, numbered(1))
            for 0xffffff, 0x1000000, 0x7fffffff, 0x80000000, 0xffffffff, 0;
        return $c;
    },
    'an abort in a message' => sub {
        my $c = client();
        $c->publish('in');
        $c->send("\x04\0\0\0\0\x10\0\x09\1\0\0\0" . 'x' x 128);
        $c->message(2, 0, pack 'N', 4);
        $c->tag(9, 0, numbered(1), csid => 6);
        return $c;
    },
    'a length that shrinks' => sub {
        my $c = client();
        $c->send("\x04\0\0\0\0\x10\0\x09\1\0\0\0" . 'x' x 128);
        $c->send("\x04\0\0\0\0\0\1\x09\1\0\0\0" . 'x' x 128) for 1 .. 100;
        return $c;
    },
    'a header of nothing' => sub {
        my $c = client();
        $c->send("\xc7" x 500);
        return $c;
    },
    'a chunk size of 0' => sub {
        my $c = client();
        $c->message(1, 0, pack 'N', 0);
        return ($c, 1);
    },
    'a chunk size of 1' => sub {
        my $c = client();
        $c->message(1, 0, pack 'N', 1);
        return ($c, 1);
    },
    'a chunk size of 2^31 - 1' => sub {
        my $c = client();
        $c->message(1, 0, pack 'N', 0x7fffffff);
        return ($c, 1);
    },
    'chunk sizes that change' => sub {
        my $c = client();
        $c->publish('in');
        for (128, 4096, 32, 65536, 100, 1000) {
            $c->chunk_size($_);
            $c->tag(9, $_, $config);
            $c->tag(9, $_, numbered($_, 3000));
        }
        return $c;
    },
    'chunk sizes in an aggregate' => sub {
        my $c = client();
        $c->message(22, 0, "\1\0\0\4" . "\0" x 7 . "\0\0\1\0\0\0\0\x0f" x 5);
        return ($c, 1);
    },
    'aggregates in aggregates' => sub {
        my $c = client();
        my ($n, $len, @h) = (60000, 0);
        for (1 .. $n) {
            unshift @h, "\x16" . substr(pack('N', $len), 1) . "\0" x 7;
            $len += 15;
        }
        $c->chunk_size(65536);
        $c->message(22, 0, join '', @h, "\0" x 4 x $n);
        return ($c, 1);
    },
    'objects in objects' => sub {
        my $c = client();
        $c->chunk_size(65536);
        $c->message(20, 0, amf('connect', 1) . "\3\0\1a" x 200_000);
        return ($c, 1);
    },
    'lists in lists' => sub {
        my $c = client();
        $c->chunk_size(65536);
        $c->message(18, 0, amf('onMetaData') . "\x0a\0\0\0\1" x 150_000);
        return ($c, 1);
    },
    'a list of 2^32' => sub {
        my $c = client();
        $c->message(20, 0, amf('connect', 1) . "\3\0\1a\x0a\xff\xff\xff\xff"
                    . "\5" x 100);
        return ($c, 1);
    },
    'a string longer than the message' => sub {
        my $c = client();
        $c->message(20, 0, amf('publish', 3, undef) . "\2\xff\xffkey?key=x");
        return ($c, 1);
    },
    'a command that ends in its name' => sub {
        my $c = client();
        $c->message(20, 0, "\2\0\7publ");
        return ($c, 1);
    },
    'publish of other types' => sub {
        my $c = client();
        $c->message(20, 0, amf('publish', [a => 1], 5, 6, 7));
        return $c;
    },
    'publish as AMF3' => sub {
        my $c = client();
        $c->message(17, 0, "\0" . amf('publish', 3, undef, 'key?key=x', 'live'));
        $c->message(17, 0, '');
        $c->message(17, 0, "\0");
        return $c;
    },
    'shared objects' => sub {
        my $c = client();
        $c->message($_, 0, "\0\7publish" . amf(1, undef, 'in', 'live'))
            for 19, 16;
        return $c;
    },
    'connect without an application' => sub {
        my $c = MC::RtmpRaw->new($t->port('rtmp'));
        $c->command('connect', [tcUrl => 'x']);
        $c->publish('in', 1);
        return $c;
    },
    'an application that is not there' => sub {
        my $c = MC::RtmpRaw->new($t->port('rtmp'));
        $c->connect('nothing');
        $c->publish('in', 1);
        return $c;
    },
    'connect twice' => sub {
        my $c = client();
        $c->connect('out');
        $c->publish('in', 1);
        return $c;
    },
    'publish, then connect' => sub {
        my $c = client();
        $c->publish('in');
        $c->tag(9, 0, $config);
        $c->connect('out');
        $c->tag(9, 0, numbered(1));
        return $c;
    },
    'publish before all else' => sub {
        my $c = MC::RtmpRaw->new($t->port('rtmp'));
        $c->publish('in', 1);
        $c->tag(9, 0, $config);
        return $c;
    },
    'publish without createStream' => sub {
        my $c = MC::RtmpRaw->new($t->port('rtmp'));
        $c->connect('live');
        $c->publish('in', 1);
        $c->tag(9, 0, $config);
        $c->tag(9, 0, numbered(1));
        return $c;
    },
    'media without publish' => sub {
        my $c = client();
        $c->tag(@$_) for @tags;
        return $c;
    },
    'publish of another name' => sub {
        my $c = client();
        $c->publish('in');
        $c->publish('key', 1);
        return ($c, 1);
    },
    'publish after a refusal' => sub {
        my $c = client();
        $c->publish('nobody');
        $c->publish('in', 1);
        return ($c, 1);
    },
    'play, then publish' => sub {
        my $c = client('out');
        is($c->play('in'), 'NetStream.Play.Start', 'plays');
        $c->publish('in', 1);
        return ($c, 1);
    },
    'publish where players are, again and again' => sub {
        my $c = client('out');
        $c->publish('in', 1) for 1 .. 3;
        return ($c, 1);
    },
    'publish, then play' => sub {
        my $c = client();
        $c->publish('in');
        $c->play('frames-out', 1);
        return $c;
    },
    'play, and play another' => sub {
        my $c = client();
        $c->play($_, 1) for qw/ frames-out nobody frames-out in /;
        return $c;
    },
    'closed many times' => sub {
        my $c = client();
        for my $n (1 .. 20) {
            $c->command('publish', undef, 'in', 'live');
            $c->command('FCUnpublish', undef, 'in');
            $c->command('closeStream', undef);
            $c->command('deleteStream', undef, 1);
            $c->command('deleteStream', undef, 77);
        }
        return $c;
    },
    'FCUnpublish, and on' => sub {
        my $c = client();
        $c->publish('in');
        $c->tag(9, 0, $config);
        $c->command('FCUnpublish', undef, 'in');
        $c->tag(9, 40, numbered(1));
        return $c;
    },
    'audio before the first frame' => sub {
        my $c = client();
        $c->command('publish', undef, 'in', 'live');
        $c->tag(@$_) for @tags[0 .. 20];
        return $c;
    },
);

for my $what (sort keys %raw) {
    my ($c, $ends) = $raw{$what}->();

    ok($c->closed(3), "$what: disconnected") if $ends;
    $c->close;
    alive($what);
}

# cut off anywhere, and with any byte another

my $whole = blob('in');
my $c = MC::RtmpRaw->new(1, handshake => 0);

$whole .= $c->chunks(@$_) for @tags[0 .. 12];

for my $n (1 .. 150) {
    my $some = $whole;

    if ($n % 3) {
        substr($some, 3073 + int rand(length($some) - 3073), 1)
            = chr int rand 256 for 1 .. $n % 5 + 1;
    } else {
        $some = substr $some, 0, int rand length $some;
    }

    my $c = MC::RtmpRaw->new($t->port('rtmp'), handshake => 0);

    $c->send($some);
    $c->closed(0.01);
    $c->close;
}

alive('cut off anywhere, any byte another');

$t->wait_for(sub { status('in')->{state} eq 'waiting' }, 10,
             'the source waits again');


# media that cannot be: the flow lives, and says what came

my $drain = MC::Datagram->new(port => $t->port('in_o'));
my $broken = status('in')->{rejected};
my $audience = play_numbered($t, "$url/out/in");

sub tag { return pack('CC', $_[0], $_[1]) . "\0\0\0" . ($_[2] // '') }

my %media = (
    'empty frames' => sub { $_[0]->tag($_ % 2 + 8, $_, '') for 1 .. 20 },
    'frames of one byte' => sub {
        $_[0]->tag(8, $_, chr $_), $_[0]->tag(9, $_, chr $_) for 0 .. 255
    },
    'frames cut short' => sub {
        $_[0]->tag(9, 0, substr $config, 0, $_) for 0 .. length $config;
        $_[0]->tag(8, 0, substr $asc, 0, $_) for 0 .. length $asc;
        $_[0]->tag(9, 0, substr numbered(1, 60), 0, $_) for 0 .. 70;
    },
    '255 SPS' => sub {
        $_[0]->tag(9, 0, tag(0x17, 0, "\1\x42\0\x1e\xff\xff"
                                      . "\0\5\x67\x42\0\x1e\xab" x 255
                                      . "\xff" . "\0\2\x68\xce" x 255));
        $_[0]->tag(9, 0, tag(0x17, 0, "\1\x42\0\x1e\xff\xff"));
        $_[0]->tag(9, 0, tag(0x17, 0, "\1\x42\0\x1e\xff\xe1\xff\xff\x67"));
        $_[0]->tag(9, 0, tag(0x17, 0, "\1\x42\0\x1e\xff\xe1\0\0\1\0\0"));
    },
    'configurations of noise' => sub {
        my $c = shift;
        for (1 .. 100) {
            $c->tag(9, 0, tag(0x17, 0, noise(int rand 60)));
            $c->tag(9, 0, tag(0x17, 1, noise(int rand 60)));
            $c->tag(8, 0, "\xaf\0" . noise(int rand 12));
            $c->tag(8, 0, "\xaf\1" . noise(int rand 60));
        }
    },
    'NAL lengths beyond the frame' => sub {
        my $c = shift;
        $c->tag(9, 0, $config);
        $c->tag(9, $_ * 40, tag(0x17, 1, pack('N', (0xffffffff, 0x7fffffff,
                                100, 0)[$_ % 4]) . "\x65abc")) for 0 .. 20;
        $c->tag(9, 900, tag(0x17, 1, "\0\0\0\0" x 5000));
        $c->tag(9, 940, tag(0x17, 1, "\0\0\0\1\x65" x 10000));
    },
    'AAC before its configuration' => sub {
        $_[0]->tag(8, $_ * 20, $aac) for 1 .. 10;
        $_[0]->tag(8, 300, $asc);
        $_[0]->tag(8, 300 + $_ * 20, $aac) for 1 .. 10;
    },
    'unknown codecs' => sub {
        $_[0]->tag(9, $_, pack('C', 0x10 | $_) . 'x' x 50),
        $_[0]->tag(8, $_, pack('C', $_ << 4 | 15) . 'x' x 50) for 0 .. 15;
    },
    'enhanced RTMP' => sub {
        my $c = shift;
        for my $codec (qw/ hvc1 av01 vp09 avc1 vvc1 zzzz /) {
            $c->tag(9, 0, pack('Ca4', 0x90 | $_, $codec) . noise(int rand 99))
                for 0 .. 6;
            $c->tag(9, 0, substr pack('Ca4', 0x91, $codec), 0, $_) for 1 .. 5;
        }
        for my $codec (qw/ Opus fLaC mp4a ac-3 /) {
            $c->tag(8, 0, pack('Ca4', 0x90 | $_, $codec) . noise(int rand 99))
                for 0 .. 6;
        }
    },
    'a configuration for each frame' => sub {
        my $c = shift;
        for my $n (0 .. 49) {
            (my $other = $config) =~ s/(.)\z/chr(ord($1) ^ $n & 1)/se;
            $c->tag(9, $n * 40, $other);
            $c->tag(9, $n * 40, numbered($n));
            $c->tag(8, $n * 40, $n % 2 ? "\xaf\0\x12\x10" : "\xaf\0\x11\x90");
            $c->tag(8, $n * 40, $aac);
        }
    },
    'timestamps that jump' => sub {
        my $c = shift;
        $c->tag(9, 0, $config);
        $c->tag(8, 0, $asc);
        my @ts = (0, 40, 36e5, 80, 2 ** 31, 120, 2 ** 31 - 1, 2 ** 31 + 1,
                  2 ** 32 - 1, 0, 7.2e6, 5, 4, 3, 2, 1, 0);
        for my $n (0 .. $#ts) {
            $c->tag(9, $ts[$n], numbered($n));
            $c->tag(8, 1e6 - $n * 1000, $aac);
        }
    },
    'timestamps that are all the same' => sub {
        my $c = shift;
        $c->tag(9, 5000, $config);
        $c->tag(8, 5000, $asc);
        $c->tag(9, 5000, numbered($_)), $c->tag(8, 5000, $aac) for 1 .. 200;
    },
    'composition times of hours' => sub {
        my $c = shift;
        $c->tag(9, 0, $config);
        for my $n (0 .. 30) {
            my $f = numbered($n);
            substr($f, 2, 3) = ("\x7f\xff\xff", "\x80\0\0", "\0\0\0")[$n % 3];
            $c->tag(9, $n * 40, $f);
        }
    },
    '1,000 frames a second' => sub {
        my $c = shift;
        $c->tag(9, 0, $config);
        $c->tag(9, $_, numbered($_, 60)) for 0 .. 1999;
    },
    'metadata of 1 MB' => sub {
        my $c = shift;
        $c->chunk_size(65536);
        $c->tag(18, 0, amf('@setDataFrame', 'onMetaData',
                           [map { ("k$_" => 'v' x 100) } 1 .. 9000]));
        $c->tag(18, 0, amf('onMetaData', [width => 1e9, height => -5,
            framerate => 1e300, videocodecid => 'avc1', title => 'x' x 60000]));
        $c->tag(18, 0, amf('onMetaData') . "\x08\xff\xff\xff\xff" . "\0\5width");
        $c->tag(18, 0, noise($_)) for 0 .. 50;
        $c->tag(18, 0, $_) for "\2", "\2\0", "\2\xff\xff", amf('onMetaData'),
            amf('@setDataFrame'), "\3\0\0\x09";
    },
    'aggregates' => sub {
        my $c = shift;
        my $part = sub {
            my ($type, $ts, $body) = @_;
            return pack('C', $type) . substr(pack('N', length $body), 1)
                . substr(pack('N', $ts), 1) . "\0\0\0\0" . $body
                . pack 'N', 11 + length $body;
        };
        $c->message(22, 0, join '', $part->(9, 0, $config),
                    $part->(8, 0, $asc), map {
                        $part->(9, $_ * 40, numbered($_)),
                        $part->(8, $_ * 40, $aac) } 0 .. 9);
        $c->message(22, 0, '');
        $c->message(22, 0, $part->(9, 0, ''));
        $c->message(22, 0, "\x09\xff\xff\xff" . "\0" x 7);
    },
);

for my $what (sort keys %media) {
    my $c = client();

    is($c->publish('in'), 'NetStream.Publish.Start', "$what: published")
        or next;

    $media{$what}->($c);
    $c->tag(9, 0, numbered($_)) for 1 .. 2;

    # all of it has been read when there is an answer

    unless ($c->closed) {
        $c->command('createStream', undef);
        $c->answer(sub { $_[0] =~ /^_/ && $_[1] == $c->{tx} });
    }

    $c->close;
    alive($what);
    $t->wait_for(sub { status('in')->{state} eq 'waiting' }, 5,
                 "$what: the source waits again");

    1 while defined $drain->recv(0);
}

ok(scalar(grep { $_->{code} eq 'codec_unsupported' } $t->events('in')),
   'codecs that cannot be carried: an event');
cmp_ok(status('in')->{rejected} - $broken, '>', 50,
       'what is malformed is counted');
like($t->read_file('error.log'), qr/malformed (?:video|audio|data) message/,
     'and named');

# a frame of 10 MB, where messages may be so large

{
    my $c = client('large', port => 'big', timeout => 20);

    is($c->publish('in'), 'NetStream.Publish.Start', '10 MB: published');
    $c->chunk_size(1_000_000);
    $c->tag(9, 0, $config);
    $c->tag(9, $_ * 40, numbered($_, 10_000_000)) for 1 .. 2;
    $c->tag(9, 200, numbered(3));
    $c->tag(9, 240, numbered(4, 16_700_000));
    $c->tag(9, 280, numbered(5));
    ok(!$c->closed(0.5), '10 MB: stays connected');

    my $s;
    $t->poll(sub { $s = status('large'); $s->{frames} || $s->{bytes} > 2e7 },
             10);
    cmp_ok($s->{bytes}, '>', 20_000_000, '10 MB: the flow has it');
    $c->close;
    alive('10 MB');
}


# what was left alone

is($audience->json->{closed}, 0, 'its player was not disconnected');

$send->stop;
my $got = $recv->running ? do { $recv->stop; $recv->json } : $recv->json;

is_deeply([@$got{qw/ lost duplicate reordered corrupted /}], [0, 0, 0, 0],
          "UDP beside it: all of $got->{datagrams} datagrams");
cmp_ok($got->{datagrams}, '>', 500, 'UDP beside it: all the time');

my $frames = $player->json;
my $sender = $publisher->json;

is($frames->{lost}, 0, "RTMP beside it: all of $frames->{frames} frames");
is($frames->{closed} + $sender->{closed}, 0, 'RTMP beside it: not cut off');
cmp_ok($sender->{sent} - $frames->{last}, '<', 30,
       'RTMP beside it: up to the end');
is($t->source('frames')->{connections}, 1, 'RTMP beside it: one connection');

cmp_ok($slowest, '<', 0.5 * ($t->{asan} ? 4 : 1),
       sprintf 'the status was answered within %.0f ms', $slowest * 1000);

$t->wait_for(sub { fds() <= $fds }, 10, 'no descriptor is left in the end')
    or diag(fds() . " after $fds");

unlike($t->read_file('error.log'), qr/5esame/, 'no key in the log');

$t->finish;
done_testing();
