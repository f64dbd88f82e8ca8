#!/usr/bin/perl

# Many outputs of one flow, and many flows: each receiver has all of its
# stream and nothing of another's.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ sleep /;
use MC;
use MC::Datagram qw/ ts ts_read /;

my $flows = '';
my $t = MC->new(start => 0, workers => 2, log => 'notice');

# 50 outputs, of both protocols, and two SRT receivers among them

my $udp = $t->port('udp', 25);
my $rtp = $t->port('rtp', 25);

$flows .= "mc_flow wide {\n    mc_source  rtp://127.0.0.1:%%wide%%;\n";
$flows .= "    mc_output  udp$_  udp://127.0.0.1:" . ($udp + $_) . ";\n"
        . "    mc_output  rtp$_  rtp://127.0.0.1:" . ($rtp + $_) . ";\n"
    for 0 .. 24;
$flows .= "    mc_output  srt  srt://127.0.0.1:%%srt%%  mode=listener"
        . "  latency=60;\n}\n";

# 100 flows from UDP to RTP, and back from RTP to UDP in a second row

my $in = $t->port('in', 100);
my $mid = $t->port('mid', 100);

$flows .= "mc_flow f$_ {\n"
        . "    mc_source  udp://127.0.0.1:" . ($in + $_) . ";\n"
        . "    mc_output  o  rtp://127.0.0.1:" . ($mid + $_) . ";\n}\n"
    for 0 .. 99;

$t->{flows} = $flows;
$t->start;


my $n = 1000;
my @args = ('--packets', $n, '--each', '--idle', 3);

my $u = $t->mcpkt('recv', "udp://127.0.0.1:$udp", '--count', 25, '--md5',
                  @args);
my $r = $t->mcpkt('recv', "rtp://127.0.0.1:$rtp", '--count', 25, '--md5',
                  @args);
my $s = $t->mcpkt('recv', 'srt://127.0.0.1:%%srt%%', '--packets', $n,
                  '--md5', '--count', 2, '--each');

$t->wait_for(sub { @{ ($t->output('wide', 'srt') || {})->{peers} || [] } == 2 },
             5, 'SRT receivers');

my $sent = $t->mcpkt_run('send', 'rtp://127.0.0.1:%%wide%%', '--packets', $n,
                         '--rate', '4m', '--md5');

for (['UDP', $u, 25], ['RTP', $r, 25], ['SRT', $s, 2]) {
    my ($name, $recv, $count) = @$_;

    my $got = $recv->json;
    my @each = @{ $got->{each} || [] };

    is(scalar(grep { $_->{datagrams} == $n && $_->{lost} == 0
                     && $_->{reordered} == 0 && $_->{duplicate} == 0
                     && $_->{md5} eq $sent->{md5} } @each), $count,
       "$name: $count receivers have the same bytes, in order");
}

my @o = @{ $t->flow('wide')->{outputs} };
is(scalar @o, 51, 'outputs in the status');
is(scalar(grep { $_->{dropped_packets} == 0
                 && $_->{packets} == ($_->{protocol} eq 'srt' ? 2 * $n : $n) }
          @o), 51, 'each has sent all');


# the sender sends the same numbers to all; each flow has its own

$n = 200;

$r = $t->mcpkt('recv', "rtp://127.0.0.1:$mid", '--count', 100, '--packets', $n,
               '--each', '--idle', 4);
$sent = $t->mcpkt_run('send', "udp://127.0.0.1:$in", '--count', 100,
                      '--packets', $n, '--rate', '600k');

my $got = $r->json;
my @each = @{ $got->{each} || [] };

is(scalar(grep { $_->{datagrams} == $n && $_->{lost} == 0
                 && $_->{reordered} == 0 && $_->{duplicate} == 0
                 && $_->{corrupted} == 0 && $_->{rtp}{lost} == 0 } @each), 100,
   '100 flows: each has all of its stream')
    or diag(join ' ', map { $_->{datagrams} } @each);

my %ssrc = map { $_->{rtp}{ssrc} => 1 } @each;
is(scalar keys %ssrc, 100, '100 flows: each has its own SSRC');

my $flows_of = $t->status->{flows};
is(scalar keys %$flows_of, 101, 'flows in the status');
is(scalar(grep { /^f\d/ && $flows_of->{$_}{sources}[0]{packets} == $n
                 && $flows_of->{$_}{outputs}[0]{packets} == $n }
          keys %$flows_of), 100, '100 flows: counted');

my %workers = map { $flows_of->{$_}{pid} => 1 } keys %$flows_of;
is(scalar keys %workers, 2, 'both workers run flows');

# one at a time: what goes into a flow comes out of it, and of no other; the
# sender of before must have been silent for long enough to have gone

sleep 0.5;

my @out = map { MC::Datagram->new(port => $mid + $_) } 0 .. 99;

for my $i (0, 1, 50, 99) {
    my $sender = MC::Datagram->new(to => ['127.0.0.1', $in + $i]);
    $sender->send(ts(1000 + $i));
    my $d = $out[$i]->recv(2);
    is(defined $d ? ts_read($d) : undef, 1000 + $i, "flow f$i has its own");
}

is(scalar(grep { defined $_->recv(0) } @out), 0, 'and the others nothing');

$t->finish;
done_testing();
