#!/usr/bin/perl

# mc_max_bandwidth, and outputs that do not keep up: a flow that misbehaves
# harms no other.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ time /;
use MC;

my $t = MC->new(workers => 1, log => 'notice', flows => <<'END');
mc_max_bandwidth 4m;

mc_flow drop {
    mc_source  srt://:%%drop%%;
    mc_output  o  udp://127.0.0.1:%%drop_o%%;
}
mc_flow alarm {
    mc_max_bandwidth 4m exceed=alarm;
    mc_source  srt://:%%alarm%%;
    mc_output  o  udp://127.0.0.1:%%alarm_o%%;
}
mc_flow cut {
    mc_max_bandwidth 4m exceed=disconnect;
    mc_source  srt://:%%cut%%;
    mc_source  srt://127.0.0.1:%%cut_b%%  backup;
    mc_output  o  udp://127.0.0.1:%%cut_o%%;
    mc_output  o  udp://127.0.0.1:%%cut_ob%%  backup;
}
mc_flow own {
    mc_source  srt://:%%own%%  max_bandwidth=50m;
    mc_output  o  udp://127.0.0.1:%%own_o%%;
}
mc_flow other {
    mc_source  srt://:%%other%%;
    mc_output  o  udp://127.0.0.1:%%other_o%%;
}
mc_flow slow {
    mc_max_bandwidth 40m;
    mc_source  srt://:%%slow%%;
    mc_output  many   srt://:%%slow_m%%;
    mc_output  stuck  srt://127.0.0.1:%%slow_s%%;
    mc_output  good   srt://127.0.0.1:%%slow_g%%;
    mc_output  gone   srt://127.0.0.1:%%slow_n%%;
    mc_output  name   srt://nowhere.invalid:%%slow_n%%;
    mc_output  udp    udp://127.0.0.1:%%slow_u%%;
}
END

sub event {
    my ($flow, $code) = @_;

    return grep { $_->{code} eq $code } $t->events($flow);
}

is($t->flow('drop')->{max_bandwidth}, 4000000, 'the limit in the status');
is($t->flow('own')->{max_bandwidth}, 4000000, "the flow's, not the source's");


# a stream within the limit beside one that sends ten times as much

my $other = $t->mcpkt('recv', 'udp://127.0.0.1:%%other_o%%', '--idle', 3);
my $quiet = $t->mcpkt('send', 'srt://127.0.0.1:%%other%%', '--rate', '3m',
                      '--seconds', 9);
$t->wait_for(sub { $t->source('other')->{packets} > 50 }, 5);

my $recv = $t->mcpkt('recv', 'udp://127.0.0.1:%%drop_o%%', '--idle', 3);
my $sent = $t->mcpkt_run('send', 'srt://127.0.0.1:%%drop%%', '--rate', '40m',
                         '--seconds', 3);

is($sent->{connections}, 1, 'drop: the caller stays');

my $got = $recv->json;
my $bytes = $got->{bytes};

# a bucket one second deep, and what flows in meanwhile

cmp_ok($bytes, '<', 4e6 / 8 * 4.3, 'drop: no more than the limit');
cmp_ok($bytes, '>', 4e6 / 8 * 3.5, 'drop: and hardly less')
    or diag(explain($got));
is($got->{corrupted}, 0, 'drop: whole packets');

my $s = $t->source('drop');
is($s->{packets} + $s->{exceeded_packets}, $sent->{packets},
   'drop: each packet is counted once');

my @events = event('drop', 'bandwidth_exceeded');
ok(@events >= 1 && @events <= 5, 'drop: at most an event a second')
    or diag(explain(\@events));

$sent = $quiet->json(15);
$got = $other->json(15);

is($got->{datagrams}, $sent->{packets}, 'the flow beside it lost nothing');
is($t->source('other')->{exceeded_packets}, 0, 'nor did it exceed');
cmp_ok($got->{delay_us}{p99} - $got->{delay_us}{p50}, '<', 25_000,
       'and was not held up') or diag(explain($got->{delay_us}));


# alarm: all goes through

$recv = $t->mcpkt('recv', 'udp://127.0.0.1:%%alarm_o%%', '--packets', 5000,
                  '--md5');
$sent = $t->mcpkt_run('send', 'srt://127.0.0.1:%%alarm%%', '--rate', '40m',
                      '--packets', 5000, '--md5');
is($recv->json->{md5}, $sent->{md5}, 'alarm: all goes through');
cmp_ok($t->source('alarm')->{exceeded_packets}, '>', 3000, 'alarm: counted');
ok(event('alarm', 'bandwidth_exceeded'), 'alarm: an event');


# its own limit stands above the inherited one

$recv = $t->mcpkt('recv', 'udp://127.0.0.1:%%own_o%%', '--packets', 5000,
                  '--md5');
$sent = $t->mcpkt_run('send', 'srt://127.0.0.1:%%own%%', '--rate', '40m',
                      '--packets', 5000, '--md5');
is($recv->json->{md5}, $sent->{md5}, 'max_bandwidth= of a source');
is($t->source('own')->{exceeded_packets}, 0, 'is not exceeded');


# disconnect: out, and for ten seconds not in again

my $pull = $t->mcpkt('send', 'srt://127.0.0.1:%%cut_b%%?mode=listener',
                     '--rate', '40m', '--seconds', 20, '--wait', 20);

my $start = time();
$sent = $t->mcpkt_run('send', 'srt://127.0.0.1:%%cut%%', '--rate', '40m',
                      '--seconds', 10);
cmp_ok(time() - $start, '<', 4, 'disconnect: the caller is put out');

my $r = $t->mcpkt_run('connect', 'srt://127.0.0.1:%%cut%%');
my $refused = time();
ok(!$r->{connected}, 'disconnect: and refused');
cmp_ok($r->{reject_reason}, '>=', 1000, 'disconnect: with a reason');
$t->wait_for(sub { event('cut', 'rejected_bandwidth') }, 3,
             'disconnect: an event of that');
ok(event('cut', 'bandwidth_exceeded'), 'disconnect: and of the first');

my $down = $t->wait_for(sub {
    my $s = $t->source('cut', 'backup');
    $s->{disconnections} && $s->{retry_at} && $t->status
}, 10, 'disconnect: a calling source leaves too');

if ($down) {
    my ($b) = grep { $_->{pipeline} eq 'backup' }
              @{ $down->{flows}{cut}{sources} };
    my ($retry, $now) = map { my ($h, $m, $s) = /T(\d+):(\d+):([\d.]+)Z/;
                              $h * 3600 + $m * 60 + $s }
                        $b->{retry_at}, $down->{time};
    my $wait = ($retry - $now + 86400) % 86400;
    ok($wait >= 7 && $wait <= 10, 'disconnect: and comes back in 10 s')
        or diag("retry in $wait s");
}

$pull->stop;


# receivers that stop reading, and outputs that cannot be reached

my @stuck = (
    $t->mcpkt('recv', 'srt://127.0.0.1:%%slow_m%%', '--seconds', 60),
    $t->mcpkt('recv', 'srt://127.0.0.1:%%slow_s%%?mode=listener',
              '--seconds', 60, '--keep'),
);

my %good = (
    many => $t->mcpkt('recv', 'srt://127.0.0.1:%%slow_m%%',
                      '--packets', 14000),
    good => $t->mcpkt('recv', 'srt://127.0.0.1:%%slow_g%%?mode=listener',
                      '--packets', 14000),
    udp  => $t->mcpkt('recv', 'udp://127.0.0.1:%%slow_u%%',
                      '--packets', 14000),
);

$t->wait_for(sub {
    @{ $t->output('slow', 'many')->{peers} } == 2
    && $t->output('slow', 'stuck')->{state} eq 'connected'
    && $t->output('slow', 'good')->{state} eq 'connected'
}, 12, 'receivers are connected');

my $send = $t->mcpkt('send', 'srt://127.0.0.1:%%slow%%', '--rate', '20m',
                     '--packets', 14000);
$t->wait_for(sub { $t->source('slow')->{packets} > 1000 }, 5);

$_->signal('STOP') for @stuck;

$t->wait_for(sub {
    my $m = $t->output('slow', 'many');
    my $s = $t->output('slow', 'stuck');

    @{ $m->{peers} } == 1 && $s->{state} ne 'connected'
}, 12, 'those who stopped are given up');

$send->wait(20);

for (sort keys %good) {
    my $got = $good{$_}->json(15);

    is($got->{datagrams}, 14000, "$_: got all") or diag(explain($got));
    is($got->{lost}, 0, "$_: nothing lost");
    cmp_ok($got->{delay_us}{p99} - $got->{delay_us}{p50}, '<', 25_000,
           "$_: in time") or diag(explain($got->{delay_us}));
}

my $gone = $t->output('slow', 'gone');
is($gone->{state}, 'connecting', 'an address without an answer');
ok($gone->{last_error}, 'says why');

my $name = $t->output('slow', 'name');
is($name->{state}, 'connecting', 'a name without an address');
like($name->{last_error}, qr/nowhere\.invalid/, 'says which');

is($t->flow('slow')->{health}, 'down', 'no source, no health');

$_->signal('CONT') for @stuck;

# the ban is over

$t->poll(sub { time() > $refused + 10.5 }, 12);
ok($t->mcpkt_run('connect', 'srt://127.0.0.1:%%cut%%')->{connected},
   'disconnect: after ten seconds the caller is let in');

$t->finish;
done_testing();
