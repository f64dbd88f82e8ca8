#!/usr/bin/perl

# The reorder buffer of RTP sources: what is put in order, what is given up
# and when, and the numbers in the status, which are known here beforehand.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ time sleep /;
use MC;
use MC::Datagram qw/ rtp rtp_read ts /;

my $t = MC->new(log => 'notice', flows => <<'END');
mc_flow exact {
    mc_source  rtp://127.0.0.1:%%exact%%  buffer=300ms;
    mc_output  rtp  rtp://127.0.0.1:%%exact_rtp%%;
    mc_output  new  rtp://127.0.0.1:%%exact_new%%  rtp=new;
}
mc_flow default {
    mc_source  rtp://127.0.0.1:%%default%%;
    mc_output  rtp  rtp://127.0.0.1:%%default_rtp%%;
}
mc_flow long {
    mc_source  rtp://127.0.0.1:%%long%%  buffer=600;
    mc_output  rtp  rtp://127.0.0.1:%%long_rtp%%;
}
mc_flow random {
    mc_source  rtp://127.0.0.1:%%random%%;
    mc_output  udp  udp://127.0.0.1:%%random_udp%%;
}
mc_flow early {
    mc_source  rtp://127.0.0.1:%%early%%?buffer=300;
    mc_output  udp  udp://127.0.0.1:%%early_udp%%;
}
mc_flow constant {
    mc_source  rtp://127.0.0.1:%%constant%%?buffer=300  buffer_mode=constant;
    mc_output  udp  udp://127.0.0.1:%%constant_udp%%;
}
mc_flow jitter {
    mc_source  rtp://127.0.0.1:%%jitter%%;
    mc_output  udp  udp://127.0.0.1:%%jitter_udp%%;
}
END

sub receiver { MC::Datagram->new(port => $t->port($_[0])) }
sub sender { MC::Datagram->new(to => ['127.0.0.1', $t->port($_[0])]) }

# number n of a stream that begins at first, on the wire

my $first = 65436;

sub datagram {
    my ($n) = @_;

    return rtp(seq => $first + $n, ts => $n * 900, payload => ts($n));
}

sub numbers {
    return [map { rtp_read($_)->{seq} - $first & 0xffff } @_];
}

sub counters {
    my ($flow, %want) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %rtp;

    $t->poll(sub {
        my $s = $t->source($flow) or return 0;
        %rtp = map {
            $_ => $s->{rtp}{$_ eq 'packets' ? $_ : "${_}_packets"}
        } keys %want;
        !grep { !defined $rtp{$_} || $rtp{$_} != $want{$_} } keys %want;
    }, 3);

    is_deeply(\%rtp, \%want, "$flow: numbers in the status");
}


# a script of arrivals: numbers in the order in which they come; what is
# missing never comes

my @order = (0 .. 9,
             11, 10,                          # two change places: 1 reordered
             12 .. 19,
             23, 20, 21, 22,                  # one overtakes three: 3
             24 .. 29,
             33, 32, 31, 30,                  # backwards: 3
             34, 34, 34,                      # 2 duplicates
             36, 35, 36, 35,                  # 1 reordered, 2 duplicates
             37 .. 39,
             41 .. 59,                        # 40 is lost
             65 .. 70,                        # 60 to 64 are lost
             72, 74, 73, 72,                  # 71 is lost, 1 and 1
             75 .. 98,
             101, 99, 100,                    # over the end of the numbers: 2
             102 .. 149,
             150, 120, 149, 151, 100);        # 3 old duplicates

my %seen;
my @unique = sort { $a <=> $b } grep { !$seen{$_}++ } @order;
my $lost = 7;

my $out = receiver('exact_rtp');
my $new = receiver('exact_new');
my $in = sender('exact');

$in->send(map { datagram($_) } @order);

is_deeply(numbers($out->recv_all(scalar @unique, 5)), \@unique,
          'in order, without duplicates');

my @new = map { rtp_read($_)->{payload} } $new->recv_all(scalar @unique, 5);
is_deeply(\@new, [map { ts($_) } @unique], 'rtp=new after a source with loss');

counters('exact', packets => scalar @unique, lost => $lost,
         reordered => 11, duplicate => 8);

is($t->source('exact')->{packets}, scalar @unique,
   'duplicates are no packets of the source');
is($t->source('exact')->{dropped_packets}, 0, 'nothing was dropped here');
is($out->recv(0.1), undef, 'no more came');


# how long is waited for what is missing

for (['default', 0.05, 0.045], ['long', 0.6, 0.59]) {
    my ($flow, $buffer, $least) = @$_;

    my $out = receiver("${flow}_rtp");
    my $in = sender($flow);

    $in->send(map { datagram($_) } 0 .. 4);
    is_deeply(numbers($out->recv_all(5, 2)), [0 .. 4],
              "$flow: at once while in order");

    my $start = time();
    $in->send(map { datagram($_) } 6 .. 9);

    my $d = $out->recv(5);
    my $took = time() - $start;

    is_deeply(numbers($d, $out->recv_all(3, 2)), [6 .. 9],
              "$flow: goes on after the gap");
    cmp_ok($took, '>=', $least, "$flow: waits");
    cmp_ok($took, '<', $buffer + 0.3, "$flow: not longer than buffer=");

    # too late

    $in->send(datagram(5), datagram(10));
    is_deeply(numbers($out->recv_all(1, 2)), [10],
              "$flow: what comes after its time is not sent");

    counters($flow, packets => 10, lost => 1, reordered => 0, duplicate => 0);
}

# just in time: all of it leaves without waiting further

$out = receiver('long_rtp');
$in = sender('long');

my $start = time();
$in->send(map { datagram($_) } 12 .. 20);
is($out->recv(0.2), undef, 'long: what follows a gap is held');
$in->send(datagram(11));
is_deeply(numbers($out->recv_all(10, 2)), [11 .. 20],
          'long: the gap is filled');
cmp_ok(time() - $start, '<', 0.55, 'long: and nothing waits any more');

counters('long', packets => 20, lost => 1, reordered => 1, duplicate => 0);


# many at random; the sender's seed gives the same stream every time, so one
# run into a receiver tells the numbers

my @script = ('--packets', 3000, '--rate', '20m', '--reorder', 0.03,
              '--dup', 0.02, '--drop', 0.01, '--seed', 42,
              '--start-seq', 64000);

my $direct = $t->mcpkt('recv', 'rtp://127.0.0.1:%%direct%%', '--idle', 1);
my $sent = $t->mcpkt_run('send', 'rtp://127.0.0.1:%%direct%%', @script);
my $want = $direct->json;

ok($want->{lost} > 10 && $want->{duplicate} > 10 && $want->{reordered} > 10,
   'a stream with loss, duplicates and wrong order');

my $random = $t->mcpkt('recv', 'udp://127.0.0.1:%%random_udp%%',
                       '--idle', 1);
$t->mcpkt_run('send', 'rtp://127.0.0.1:%%random%%', @script);
my $got = $random->json;

counters('random', packets => $want->{datagrams} - $want->{duplicate},
         lost => $want->{lost}, duplicate => $want->{duplicate},
         reordered => $want->{reordered});

is($got->{datagrams}, $want->{datagrams} - $want->{duplicate},
   'random: each once');
is($got->{lost}, $want->{lost}, 'random: nothing else is missing');
is($got->{reordered} + $got->{duplicate}, 0, 'random: in order');
is($got->{corrupted}, 0, 'random: unharmed');
ok($t->source('random')->{ts}{continuity_errors} > 0,
   'random: gaps show as continuity errors');


# constant delay, and early release

my %recv;
for (qw/ early constant /) {
    $recv{$_} = $t->mcpkt('recv', "udp://127.0.0.1:%%${_}_udp%%",
                          '--packets', 1000);
}

my @send = map { $t->mcpkt('send', "rtp://127.0.0.1:%%$_%%",
                           '--packets', 1000, '--rate', '7m') }
    qw/ early constant /;

my %r = map { $_ => $recv{$_}->json } qw/ early constant /;
$_->json for @send;

for (qw/ early constant /) {
    is_deeply([@{ $r{$_} }{qw/ datagrams lost reordered duplicate /}],
              [1000, 0, 0, 0], "$_: all, once, in order");
}

cmp_ok($r{early}{delay_us}{p50}, '<', 60_000, 'early: in order is not held');
cmp_ok($r{constant}{delay_us}{min}, '>=', 298_000,
       'constant: no less than buffer=');
cmp_ok($r{constant}{delay_us}{p50}, '<', 340_000,
       'constant: and no more');


# jitter: timestamps 20 ms apart, datagrams two at once every 40 ms

$in = sender('jitter');
my $next = time();

for my $n (0 .. 39) {
    $in->send(map { rtp(seq => $_, ts => $_ * 1800, payload => ts($_)) }
                  2 * $n, 2 * $n + 1);
    $next += 0.04;
    my $left = $next - time();
    sleep($left) if $left > 0;
}

my $jitter;
$t->poll(sub {
    $jitter = $t->source('jitter')->{rtp}{jitter_ms};
    defined $jitter && $jitter > 14;
}, 1.5);
cmp_ok($jitter, '>', 14, 'jitter_ms of alternate 0 and 40 ms');
cmp_ok($jitter, '<', 40, 'jitter_ms: about 20');

$t->finish;
done_testing();
