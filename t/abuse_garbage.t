#!/usr/bin/perl

# Bytes that nobody should send, to every port that listens: what they are
# makes no difference to the streams beside them, on the same port or on
# others, and what was refused is counted.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ time sleep /;
use MC;
use MC::Datagram qw/ rtp rtp_read ts ts_read /;

my $t = MC->new(workers => 2, log => 'notice', flows => <<'END');
mc_latency 120ms;

mc_flow srt {
    mc_source  srt://127.0.0.1:%%srt%%  mode=listener;
    mc_output  srt  srt://127.0.0.1:%%srt_o%%  mode=listener;
}
mc_flow rtp {
    mc_source  rtp://127.0.0.1:%%rtp%%;
    mc_output  udp  udp://127.0.0.1:%%rtp_o%%;
}
mc_flow udp {
    mc_source  udp://127.0.0.1:%%udp%%;
    mc_output  udp  udp://127.0.0.1:%%udp_o%%;
}
mc_flow bad-rtp {
    mc_source  rtp://127.0.0.1:%%bad_rtp%%;
    mc_output  rtp  rtp://127.0.0.1:%%bad_rtp_o%%;
}
mc_flow bad-udp {
    mc_source  udp://127.0.0.1:%%bad_udp%%;
    mc_output  udp  udp://127.0.0.1:%%bad_udp_o%%;
}
END

sub to { MC::Datagram->new(to => ['127.0.0.1', $t->port($_[0])]) }

my $ts = ts(1);

# what is wrong with it, and the datagram

my @rtp = (
    ['no byte', ''],
    ['one byte', "\x80"],
    ['eleven bytes', substr rtp(), 0, 11],
    ['a header alone', rtp()],
    ['version 0', rtp(version => 0, payload => $ts)],
    ['version 1', rtp(version => 1, payload => $ts)],
    ['version 3', rtp(version => 3, payload => $ts)],
    ['15 CSRCs announced, none there', "\x8f" . substr rtp(), 1],
    ['15 CSRCs announced, TS there instead',
     "\x8f" . substr rtp(payload => $ts), 1],
    ['an extension announced, none there', "\x90" . substr rtp(), 1],
    ['half an extension header', "\x90" . substr(rtp(), 1) . "\xbe\xde"],
    ['an extension longer than the datagram',
     "\x90" . substr(rtp(), 1) . "\xbe\xde\xff\xff$ts"],
    ['an extension of 64 kB and CSRCs',
     "\x9f" . substr(rtp(), 1) . ("\0" x 60) . "\xbe\xde\xff\xff"],
    ['padding of no byte', "\xa0" . substr(rtp(payload => $ts), 1, -1) . "\0"],
    ['padding longer than the payload',
     "\xa0" . substr(rtp(payload => ts(1, count => 1)), 1, -1) . "\xff"],
    ['padding alone', rtp(pad => 4)],
    ['padding, extension and nothing', rtp(pad => 8, ext => 'none')],
    ['a byte too many', rtp(payload => $ts . "\x47")],
    ['a byte too few', rtp(payload => substr $ts, 0, -1)],
    ['half a packet', rtp(payload => substr $ts, 0, 94)],
    ['no sync byte', rtp(payload => "\x00" x 1316)],
    ['one sync byte of seven', rtp(payload => substr($ts, 0, 188)
                                              . "\x00" x 1128)],
    ['three sync bytes of seven', rtp(payload => substr($ts, 0, 564)
                                                 . "\x00" x 752)],
    ['not TS', rtp(pt => 96,
                   payload => join '', map { chr($_ & 0xff) } 1 .. 999)],
    ['60 kB of zeros', "\0" x 60000],
    ['65,507 bytes', "\x80\x21" . "G" x 65505],
);

# RFC 3550, 6: reports, farewells; they are no error, and no stream

my @rtcp = (
    pack('CCnNN5', 0x80, 200, 6, 7, 1 .. 5),
    pack('CCnN', 0x80, 201, 1, 7),
    pack('CCnNN6', 0x81, 201, 7, 7, 1 .. 6),
    pack('CCnN CCa4', 0x81, 202, 3, 7, 1, 4, 'name') . "\0\0",
    pack('CCnN', 0x81, 203, 1, 7),
);

my @udp = (
    ['no byte', ''],
    ['one byte', 'G'],
    ['187 bytes', substr ts(1, count => 1), 0, 187],
    ['189 bytes', ts(1, count => 1) . 'G'],
    ['no sync byte', "\0" x 1316],
    ['one sync byte of seven', substr($ts, 0, 188) . "\0" x 1128],
    ['three sync bytes of seven', substr($ts, 0, 564) . "\0" x 752],
    ['not TS', join '', map { chr($_ & 0xff) } 1 .. 1316],
    ['RTP', rtp(payload => $ts)],
    ['60 kB of zeros', "\0" x 60000],
);


# alone: nothing of it goes on, all of it is counted, the source still waits

for (['bad-rtp', 'bad_rtp', \@rtp], ['bad-udp', 'bad_udp', \@udp]) {
    my ($flow, $port, $list) = @$_;

    my $in = to($port);
    my $out = MC::Datagram->new(port => $t->port("${port}_o"));
    my $count = 0;

    for (@$list) {
        my ($what, $d) = @$_;

        $in->send($d);
        $count++;

        my $n;
        $t->poll(sub { ($n = $t->source($flow)->{rejected}) == $count }, 2,
                 0.01);
        is($n, $count, "$flow: $what: refused and counted");
        $count = $n;
    }

    my $s = $t->source($flow);

    is($s->{state}, 'waiting', "$flow: still waits");
    is($s->{packets}, 0, "$flow: no packets");
    ok($s->{last_error}, "$flow: and says what came");
    is($out->recv(0.1), undef, "$flow: nothing went on");
}

{
    my $in = to('bad_rtp');
    my $out = MC::Datagram->new(port => $t->port('bad_rtp_o'));

    $in->send(@rtcp);
    is($out->recv(0.1), undef, 'RTCP does not go on');
    is($t->source('bad-rtp')->{state}, 'waiting', 'RTCP is no stream');

    # and in the midst of a stream

    my @seq = 0 .. 199;

    for my $n (@seq) {
        $in->send(rtp(seq => $n, ts => $n * 90, payload => ts($n)));
        $in->send($rtp[$n % @rtp][1]) if $n % 3 == 0;
        $in->send($rtcp[$n % @rtcp]) if $n % 7 == 0;
        sleep 0.002;
    }

    my @got = map { rtp_read($_) } $out->recv_all(200, 3);
    is_deeply([map { $_->{seq} } @got], \@seq,
              'RTP: a sender whose stream is full of it');
    is(scalar(grep { $_->{ts} == $_->{seq} * 90 && $_->{ssrc} == 0x11223344 }
              @got), 200, 'RTP: with the headers of the sender');
    is($out->recv(0.1), undef, 'RTP: and only its good datagrams');
    is($t->source('bad-rtp')->{state}, 'connected', 'RTP: connected');
    is($t->source('bad-rtp')->{rtp}{lost_packets}, 0, 'RTP: nothing lost');

    # one that is no TS takes the place of one: what follows is as before

    my @sent = map { rtp(seq => 200 + $_, ts => $_ * $_, pt => 96,
                         payload => $_ == 10 ? 'G' . "\0" x 1315
                                             : ts($_)) } 0 .. 20;

    $in->send(@sent);
    splice @sent, 10, 1;

    ok(join('', $out->recv_all(20, 3)) eq join('', @sent),
       'RTP: datagrams as they came after one without TS');

    $in = to('bad_udp');
    $out = MC::Datagram->new(port => $t->port('bad_udp_o'));

    for my $n (@seq) {
        $in->send(ts($n));
        $in->send($udp[$n % @udp][1]) if $n % 3 == 0;
        sleep 0.002;
    }

    @got = map { ts_read($_) } $out->recv_all(200, 3);
    is_deeply(\@got, \@seq, 'UDP: a sender whose stream is full of it');
    is($out->recv(0.1), undef, 'UDP: and only its good datagrams');
}


# a sync byte that was damaged on the way is an error of the stream: it goes on
# as it came, and is counted

{
    my $in = to('bad_udp');
    my $out = MC::Datagram->new(port => $t->port('bad_udp_o'));

    # whoever sent before has gone

    sleep 0.5;

    my $errors = $t->source('bad-udp')->{ts}{sync_byte_errors};
    my @sent = map { ts($_) } 0 .. 9;

    substr($sent[5], 188, 1) = "\x46";
    $in->send(@sent);

    ok(join('', $out->recv_all(10, 2)) eq join('', @sent),
       'a damaged sync byte: the same bytes');
    is($t->source('bad-udp')->{ts}{sync_byte_errors}, $errors + 1,
       'a damaged sync byte: counted');
}


# three streams, and noise on each of their ports

my @args = ('--packets', 4000);
my %recv = (srt => $t->mcpkt('recv', 'srt://127.0.0.1:%%srt_o%%', @args),
            rtp => $t->mcpkt('recv', 'udp://127.0.0.1:%%rtp_o%%', @args),
            udp => $t->mcpkt('recv', 'udp://127.0.0.1:%%udp_o%%', @args));

$t->wait_for(sub { @{ $t->output('srt', 'srt')->{peers} } == 1 }, 5,
             'an SRT receiver');

my %rejected = map { $_ => $t->source($_)->{rejected} } qw/ rtp udp /;
my %sender = map {
    $_ => $t->mcpkt('send', "$_://127.0.0.1:%%$_%%", @args, '--rate', '8m')
} qw/ srt rtp udp /;

$t->wait_for(sub {
    !grep { $t->source($_)->{state} ne 'connected' } qw/ srt rtp udp /
}, 5, 'three streams');

my @noise = map { $t->mcpkt('send', "udp://127.0.0.1:%%$_%%", '--garbage',
                            '--bind', '127.0.0.9', '--rate', '5m',
                            '--seconds', 3, '--seed', 7 + length) }
    qw/ srt srt_o rtp udp /;
push @noise, $t->mcpkt('send', "udp://127.0.0.1:%%$_%%", '--nosync', '--rate',
                       '2m', '--bind', '127.0.0.8', '--seconds', 3)
    for qw/ rtp udp /;
push @noise, $t->mcpkt('flood', "srt://127.0.0.1:%%$_%%", '--kind', 'garbage',
                       '--rate', 500, '--seconds', 3)
    for qw/ srt srt_o rtp udp /;

my %noise = map { $_ => $noise[$_]->json(20) } 0 .. $#noise;

for (qw/ srt rtp udp /) {
    $sender{$_}->json(20);
    my $got = $recv{$_}->json(10);

    is_deeply([@$got{qw/ datagrams lost duplicate reordered corrupted /}],
              [4000, 0, 0, 0, 0], "$_: a stream on a noisy port");
    is($t->source($_)->{connections}, 1, "$_: one connection");
}

for (qw/ rtp udp /) {
    cmp_ok($t->source($_)->{rejected} - $rejected{$_}, '>=',
           $noise{$_ eq 'rtp' ? 2 : 3}{packets}, "$_: the noise is counted");
}

is($t->source('srt')->{ts}{sync_byte_errors}, 0,
   'srt: none of it got into the stream');

# nobody had to be born again

is(scalar(() = $t->log =~ /exited/g), 0, 'no worker has died');

$t->finish;
done_testing();
