#!/usr/bin/perl

# RTP and UDP sources that send ten times mc_max_bandwidth, under each policy:
# what is forwarded, what is counted, and that others of the same worker do
# not notice.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ time sleep /;
use MC;

my $flows = '';

for my $proto (qw/ rtp udp /) {
    for my $policy (qw/ drop alarm disconnect /) {
        my $f = "$proto-$policy";
        (my $port = $f) =~ tr/-/_/;

        $flows .= <<"END";
mc_flow $f {
    mc_max_bandwidth 2m exceed=$policy;
    mc_source  $proto://127.0.0.1:%%$port%%;
    mc_output  o  udp://127.0.0.1:%%${port}_o%%;
}
END
    }
}

$flows .= <<'END';
mc_flow other {
    mc_max_bandwidth 5m;
    mc_source  rtp://127.0.0.1:%%other%%;
    mc_output  o  udp://127.0.0.1:%%other_o%%;
}
END

my $t = MC->new(workers => 1, log => 'notice', flows => $flows);

my @names = map { my $p = $_; map { "$p-$_" } qw/ drop alarm disconnect / }
    qw/ rtp udp /;
my (%recv, %send);

sub port {
    my ($name) = @_;

    $name =~ tr/-/_/;
    return $name;
}

sub event {
    my ($flow, $code) = @_;

    return grep { $_->{code} eq $code && $_->{type} eq 'input-primary' }
        $t->events($flow);
}

# 3 s of 20 Mbit/s: a bucket of one second and three seconds of 2 Mbit/s are
# a megabyte

my $n = 5700;
my $cap = 2_000_000 / 8;

for ('other', @names) {
    $recv{$_} = $t->mcpkt('recv', 'udp://127.0.0.1:%%' . port($_) . '_o%%',
                          '--seconds', 40);
}

my $other = $t->mcpkt('send', 'rtp://127.0.0.1:%%other%%', '--packets', 2400,
                      '--rate', '4m');

for (@names) {
    my ($proto) = /^(\w+)/;
    $send{$_} = $t->mcpkt('send', "$proto://127.0.0.1:%%" . port($_) . '%%',
                          '--packets', $n, '--rate', '20m');
}

my $start = time();
my %sent = map { $_ => $send{$_}->json(20) } @names;

for my $f (@names) {
    my ($proto, $policy) = $f =~ /^(\w+)-(\w+)$/;
    my $s = $t->source($f);
    my $took = $sent{$f}{seconds};
    my $message = (event($f, 'bandwidth_exceeded'))[0];

    ok($message, "$f: bandwidth_exceeded");
    is($s->{dropped_packets}, 0, "$f: all of it has been looked at");

    if ($policy eq 'drop') {
        is($s->{packets} + $s->{exceeded_packets}, $n,
           "$f: forwarded and exceeded are all");
        cmp_ok($s->{bytes}, '<=', $cap * (1 + $took) * 1.1,
               "$f: no more than the cap");
        cmp_ok($s->{bytes}, '>=', $cap * (1 + $took) * 0.8,
               "$f: no less than the cap");
        is($s->{state}, 'connected', "$f: stays connected");

    } elsif ($policy eq 'alarm') {
        is($s->{packets}, $n, "$f: all is forwarded");
        cmp_ok($s->{exceeded_packets}, '>', $n / 2, "$f: and counted");
        is($s->{state}, 'connected', "$f: stays connected");

    } else {
        cmp_ok($s->{packets}, '<', $n / 3, "$f: not all is forwarded");
        isnt($s->{state}, 'connected', "$f: is disconnected");
        is($s->{disconnections}, 1, "$f: once");
        cmp_ok($s->{rejected}, '>', $n / 3, "$f: then refused");
        ok(event($f, 'rejected_bandwidth'), "$f: rejected_bandwidth");
        ok(event($f, 'disconnected'), "$f: disconnected");
        ok($s->{last_error}, "$f: and says why");
    }
}


# those who were cut off may come again after ten seconds, not before

for my $proto (qw/ rtp udp /) {
    $t->mcpkt_run('send', "$proto://127.0.0.1:%%${proto}_disconnect%%",
                  '--packets', 20, '--rate', '1m', '--id', 9);
}

my $early = time() - $start;

$t->poll(sub { time() - $start > 11.5 }, 15);

$t->mcpkt_run('send', "$_://127.0.0.1:%%${_}_disconnect%%",
              '--packets', 100, '--rate', '1m', '--id', 10)
    for qw/ rtp udp /;

$other->json(20);

$t->poll(sub { 0 }, 0.3);
$_->stop for values %recv;
my %got = map { $_ => $recv{$_}->json } keys %recv;

for (@names) {
    my ($policy) = /-(\w+)$/;

    is($got{$_}{datagrams}, $t->output($_, 'o')->{packets},
       "$_: the receiver has what was sent to it");
    is($got{$_}{corrupted}, 0, "$_: unharmed");
    is($got{$_}{lost}, 0, "$_: without gaps") if $policy eq 'alarm';

    next unless $policy eq 'disconnect';

    ok(!$got{$_}{ids}{9}, "$_: not within ten seconds") if $early < 10;
    cmp_ok($got{$_}{ids}{10} || 0, '>', 650, "$_: again after ten seconds");
}

is_deeply([@{ $got{other} }{qw/ datagrams lost duplicate reordered /}],
          [2400, 0, 0, 0], 'another flow of that worker: nothing is lost');
is($t->source('other')->{exceeded_packets}, 0, 'nor did it exceed');

$t->finish;
done_testing();
