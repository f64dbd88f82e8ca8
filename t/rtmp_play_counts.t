#!/usr/bin/env perl

# What players were sent is counted once, also if their flow gets another
# owner.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use MC;
use MC::Media qw/ sample feed /;
use MC::Rtmp qw/ play connected /;
use Test::More;
use Time::HiRes qw/ sleep /;


my $t = MC->new(
    workers => 2,
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%;'
            . ' application live { live on; } }',
    flows => 'mc_flow a { mc_source udp://127.0.0.1:%%udp%%;'
             . ' mc_output o rtmp:///live/o; }');

sample($t, 'in.ts', seconds => 25);

my $feed = feed($t, 'in.ts', 'udp://127.0.0.1:%%udp%%');
connected($t, 'a');

# in either worker

my @players = map { play($t, 'rtmp://127.0.0.1:%%rtmp%%/live/o', "$_.flv") }
                  1 .. 6;

my $output;

$t->wait_for(sub {
    $output = $t->output('a', 'o');
    return @{ $output->{peers} } == 6 && $output->{bytes} > 3_000_000;
}, 20, 'players');

my $pid = $t->flow('a')->{pid};
my $bytes = $output->{bytes};

$t->allow(qr/worker process $pid exited on signal 9/);
kill 'KILL', $pid;

$t->wait_for(sub {
    my $flow = $t->flow('a');
    return $flow && $flow->{pid} && $flow->{pid} != $pid;
}, 10, 'another owner');

SKIP: {
    my $left;

    $t->poll(sub {
        $output = $t->output('a', 'o');
        $left = grep { $_->{bytes} > 0 } @{ $output->{peers} };
        return $left && $output->{bytes} > $bytes;
    }, 10);

    skip 'all players were in one worker', 2 unless $left;

    cmp_ok($output->{bytes}, '>=', $bytes, 'counters do not go back');
    cmp_ok($output->{bytes}, '<', 1.3 * $bytes, 'nor count twice');
    cmp_ok($_->{bytes}, '>', 100_000, 'players keep theirs')
        for @{ $output->{peers} };
}

$_->stop for @players;
$feed->stop;

$t->finish;
done_testing();
