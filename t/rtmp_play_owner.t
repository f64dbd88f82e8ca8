#!/usr/bin/perl

# The owner of a flow dies: players of the other workers play on, and what they
# were sent is counted once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ time /;

use MC;
use MC::Media qw/ sample feed /;
use MC::Rtmp qw/ play connected /;


my $players = 6;
my $seconds = 12;
my $frames = $players * $seconds * (25 + 48000 / 1024);

my $t = MC->new(workers => 4,
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%; application live { live on; }'
            . ' }',
    flows => <<'END', start => 0);
mc_flow a {
    mc_source udp://127.0.0.1:%%udp%%;
    mc_output o rtmp:///live/a;
}
END

sample($t, 'in.ts', seconds => $seconds, gop => 25);
$t->allow(qr/worker process \d+ exited on signal 9/);
$t->start;

my $feed = feed($t, 'in.ts', 'udp://127.0.0.1:%%udp%%');
connected($t, 'a');

play($t, 'rtmp://127.0.0.1:%%rtmp%%/live/a', "out$_.flv") for 1 .. $players;

$t->wait_for(sub { @{ $t->output('a', 'o')->{peers} } == $players }, 15,
             'players');

ok($t->poll(sub { $t->output('a', 'o')->{packets} > $frames * 3 / 4 }, 20),
   'they play');

my $owner = $t->flow('a')->{pid};
my $before = $t->output('a', 'o');

kill 'KILL', $owner;

$t->wait_for(sub {
    my $f = $t->flow('a');
    return $f->{pid} && $f->{pid} != $owner;
}, 10, 'another owner');

$feed->wait(30);

# players are counted once a second

my ($last, $since) = (-1, 0);

$t->poll(sub {
    my $n = $t->output('a', 'o')->{packets};

    ($last, $since) = ($n, time) if $n != $last;
    return time - $since > 3;
}, 20);

my $after = $t->output('a', 'o');

cmp_ok($after->{packets}, '>', $before->{packets}, 'some play on');
cmp_ok($after->{packets}, '<=', $frames * 1.02, 'nothing is counted twice');
is($after->{rtmp}{frames}, $after->{packets}, 'frames are those of all');

$t->stop;
$t->finish;
done_testing();
