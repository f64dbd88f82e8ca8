#!/usr/bin/perl

# Who sends to an RTP or UDP source: one that begins anew, one that takes
# over, two at once, one that falls silent, and those who may not.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ time sleep /;
use MC;
use MC::Datagram qw/ rtp rtp_read ts ts_read /;

my $six = -e '/proc/net/if_inet6'
    && `cat /proc/net/if_inet6` =~ /^0{31}1 /m;

my $flows = <<'END';
mc_flow restart {
    mc_source  rtp://127.0.0.1:%%restart%%;
    mc_output  udp  udp://127.0.0.1:%%restart_udp%%;
}
mc_flow jump {
    mc_source  rtp://127.0.0.1:%%jump%%;
    mc_output  rtp  rtp://127.0.0.1:%%jump_rtp%%;
}
mc_flow two {
    mc_source  rtp://127.0.0.1:%%two%%;
    mc_output  rtp  rtp://127.0.0.1:%%two_rtp%%;
}
mc_flow twou {
    mc_source  udp://127.0.0.1:%%twou%%;
    mc_output  udp  udp://127.0.0.1:%%twou_udp%%;
}
mc_flow quiet {
    mc_source  rtp://127.0.0.1:%%quiet%%  timeout=400ms;
    mc_output  rtp  rtp://127.0.0.1:%%quiet_rtp%%;
}
mc_flow quietu {
    mc_source  udp://127.0.0.1:%%quietu%%;
    mc_output  udp  udp://127.0.0.1:%%quietu_udp%%;
}
mc_flow allow {
    mc_allow   127.0.0.1/32 10.0.0.0/8;
    mc_source  rtp://:%%allow%%;
    mc_output  rtp  rtp://127.0.0.1:%%allow_rtp%%;
}
mc_flow allowu {
    mc_allow   127.0.0.2;
    mc_source  udp://127.0.0.1:%%allowu%%  allow=127.0.0.1,192.0.2.0/24;
    mc_output  udp  udp://127.0.0.1:%%allowu_udp%%;
}
END

$flows .= <<'END' if $six;
mc_flow allow6 {
    mc_allow   2001:db8::/32;
    mc_source  udp://[::]:%%allow6%%;
    mc_output  udp  udp://127.0.0.1:%%allow6_udp%%;
}
mc_flow allowed6 {
    mc_allow   127.0.0.0/8 ::1/128;
    mc_source  rtp://[::]:%%allowed6%%;
    mc_output  udp  udp://127.0.0.1:%%allowed6_udp%%;
}
END

my $t = MC->new(workers => 2, log => 'notice', flows => $flows);

sub receiver { MC::Datagram->new(port => $t->port($_[0])) }

sub sender {
    my ($name, $addr) = @_;
    MC::Datagram->new(to => ['127.0.0.1', $t->port($name)], addr => $addr);
}

sub state_is {
    my ($flow, $state, $seconds, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $t->wait_for(sub { ($t->source($flow) || {})->{state} eq $state },
                 $seconds, $name);
}

sub event {
    my ($flow, $code, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $found;

    $t->wait_for(sub {
        ($found) = grep { $_->{code} eq $code
                          && $_->{type} eq 'input-primary' }
            $t->events($flow);
    }, 4, $name);

    return $found || {};
}


# a sender with a new SSRC and new numbers, without a pause

my $recv = $t->mcpkt('recv', 'udp://127.0.0.1:%%restart_udp%%',
                     '--packets', 1000);
$t->mcpkt_run('send', 'rtp://127.0.0.1:%%restart%%', '--packets', 1000,
              '--restart', 500);
my $got = $recv->json;
is_deeply([@$got{qw/ datagrams lost duplicate reordered corrupted /}],
          [1000, 0, 0, 0, 0], 'SSRC changes on the way: nothing is lost');
is($t->source('restart')->{rtp}{lost_packets}, 0,
   'SSRC changes on the way: nothing is counted as lost');

# a program that is started again; one that does it within a quarter of a
# second could as well be a second sender

$recv = $t->mcpkt('recv', 'udp://127.0.0.1:%%restart_udp%%',
                  '--packets', 900, '--idle', 3);

for (2 .. 4) {
    sleep 0.4;
    $t->mcpkt_run('send', 'rtp://127.0.0.1:%%restart%%', '--packets', 300,
                  '--id', $_);
}

$got = $recv->json;
is_deeply([@$got{qw/ datagrams lost duplicate reordered corrupted /}],
          [900, 0, 0, 0, 0], 'senders after one another: nothing is lost');
is_deeply($got->{ids}, { map { $_ => $got->{ids}{2} } 2 .. 4 },
          'senders after one another: all of each')
    or diag(explain($got->{ids}));
is($t->source('restart')->{rtp}{lost_packets}, 0,
   'senders after one another: nothing is counted as lost');


# the same SSRC goes on elsewhere in the numbers, forwards and backwards

my $in = sender('jump');
my $out = receiver('jump_rtp');

for my $first (100, 20000, 50000, 30000, 64000, 5000) {
    $in->send(map { rtp(seq => $first + $_, payload => ts($first + $_)) }
                  0 .. 49);

    my @got = map { rtp_read($_)->{seq} } $out->recv_all(50, 2);
    is_deeply(\@got, [$first .. $first + 49], "numbers go on at $first");
    sleep 0.1;
}

is($t->source('jump')->{rtp}{lost_packets}, 0, 'jumps are no loss');


# two at once: the first stays, the other is refused and counted

for my $flow (qw/ two twou /) {
    my $rtp = $flow eq 'two';
    my $out = receiver($rtp ? 'two_rtp' : 'twou_udp');
    my ($a, $b) = map { sender($flow, $_) } '127.0.0.1', '127.0.0.3';

    for my $n (0 .. 99) {
        for ([$a, 1], [$b, 2]) {
            my ($s, $id) = @$_;
            my $ts = ts($n, id => $id);
            $s->send($rtp ? rtp(seq => 100 * $id + $n, ssrc => $id,
                                payload => $ts)
                          : $ts);
        }
        sleep 0.005;
    }

    my @got = $out->recv_all(100, 2);
    is(scalar(grep { /DGRM\0{3}\x01/ } @got), 100, "$flow: all of the first");
    is($out->recv(0.1), undef, "$flow: nothing of the second");

    $t->wait_for(sub { $t->source($flow)->{rejected} == 100 }, 2,
                 "$flow: the second is counted")
        or diag($t->source($flow)->{rejected});

    my $e = event($flow, 'rejected_busy', "$flow: rejected_busy");
    like($e->{peer} || '', qr/^127\.0\.0\.3:\d+$/, "$flow: and from where");

    my $s = $t->source($flow);
    like($s->{peer}, qr/^127\.0\.0\.1:\d+$/, "$flow: peer is the first");
    is($s->{connections}, 1, "$flow: one connection");

    # the first has gone: the other one may have it

    sleep 0.6;
    $b->send(map { $rtp ? rtp(seq => 1000 + $_, ssrc => 2,
                              payload => ts($_, id => 2))
                        : ts($_, id => 2) } 0 .. 49);
    @got = $out->recv_all(50, 2);
    is(scalar(grep { /DGRM\0{3}\x02/ } @got), 50,
       "$flow: the second takes over");
    $t->wait_for(sub { $t->source($flow)->{peer} =~ /^127\.0\.0\.3:/ }, 2,
                 "$flow: and is the peer");
}


# silence

for (['quiet', 0.4], ['quietu', 2]) {
    my ($flow, $timeout) = @$_;
    my $rtp = $flow eq 'quiet';
    my $out = receiver($rtp ? 'quiet_rtp' : 'quietu_udp');
    my $in = sender($flow);
    my $n = 0;
    my $send = sub {
        $in->send($rtp ? rtp(seq => $n, payload => ts($n)) : ts($n));
        $n++;
    };

    my $s = $t->source($flow);
    is($s->{state}, 'waiting', "$flow: waits");
    is($s->{peer}, undef, "$flow: without a peer");
    is($s->{connected_at}, undef, "$flow: never connected");
    is($t->flow($flow)->{health}, 'down', "$flow: is down");

    $send->();
    state_is($flow, 'connected', 2, "$flow: connected");
    is($t->flow($flow)->{health}, 'ok', "$flow: is up");

    my $last = time();
    $send->();

    state_is($flow, 'waiting', 5, "$flow: waits again after silence");
    my $took = time() - $last;
    cmp_ok($took, '>=', $timeout - 0.05, "$flow: not before timeout=");
    cmp_ok($took, '<', $timeout + 1, "$flow: but soon after");

    event($flow, 'disconnected', "$flow: disconnected");

    $s = $t->source($flow);
    is($s->{disconnections}, 1, "$flow: counted");
    ok($s->{last_error}, "$flow: and says why");
    is($t->flow($flow)->{health}, 'down', "$flow: is down again");

    $send->() for 1 .. 8;
    is(scalar($out->recv_all(10, 2)), 10, "$flow: nothing is lost for it");
    is($t->source($flow)->{connections}, 2, "$flow: connected again");
}


# those who may not: dropped, counted, told, and no state is held for them

for (['allow', '127.0.0.2', 'allow_rtp'], ['allowu', '127.0.0.2', 'allowu_udp'],
     $six ? ['allow6', '::1', 'allow6_udp'] : ())
{
    my ($flow, $addr, $to) = @$_;
    my $rtp = $flow eq 'allow';
    my $out = receiver($to);

    my $bad = MC::Datagram->new(to => [$flow eq 'allow6' ? '::1' : '127.0.0.1',
                                       $t->port($flow)], addr => $addr);

    $bad->send(map { $rtp ? rtp(seq => $_, payload => ts($_)) : ts($_) }
                   0 .. 49);

    $t->wait_for(sub { $t->source($flow)->{rejected} == 50 }, 3,
                 "$flow: all of them are counted");

    my $s = $t->source($flow);
    is($s->{state}, 'waiting', "$flow: the source still waits");
    is($s->{packets}, 0, "$flow: they are no packets of it");
    is($s->{connections}, 0, "$flow: nor a connection");
    is($s->{rtp}{packets}, 0, "$flow: nor RTP packets") if $rtp;

    my $e = event($flow, 'rejected_address', "$flow: rejected_address");
    like($e->{peer} || '', $addr eq '::1' ? qr/^\[::1\]:\d+$/
                                          : qr/^\Q$addr\E:\d+$/,
         "$flow: and from where");
    is($out->recv(0.1), undef, "$flow: nothing was sent on");

    next if $addr eq '::1';

    # and beside them the one who may

    my $good = sender($flow, '127.0.0.1');

    for my $n (0 .. 99) {
        $_->send($rtp ? rtp(seq => $n, payload => ts($n)) : ts($n))
            for $bad, $good;
        sleep 0.002;
    }

    my @got = map { ts_read($_) } $out->recv_all(100, 2);
    is_deeply(\@got, [0 .. 99], "$flow: who may send is not disturbed");
    is($t->source($flow)->{rejected}, 150, "$flow: the others are counted");
    like($t->source($flow)->{peer}, qr/^127\.0\.0\.1:/, "$flow: the peer");
    is($out->recv(0), undef, "$flow: no more than that");
}

if ($six) {
    my $out = receiver('allowed6_udp');
    my $in = MC::Datagram->new(to => ['::1', $t->port('allowed6')]);

    $in->send(map { rtp(seq => $_, payload => ts($_)) } 0 .. 9);
    is(scalar($out->recv_all(10, 2)), 10, 'allowed6: ::1 may send');
    is($t->source('allowed6')->{rejected}, 0, 'allowed6: none refused');
}

$t->finish;
done_testing();
