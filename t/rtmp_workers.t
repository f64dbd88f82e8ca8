#!/usr/bin/perl

# Publishers land on any worker, flows run in theirs: what is lost between.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ sleep /;
use MC;
use MC::Media qw/ sample record same_media /;
use MC::Rtmp qw/ publish connected live /;


my $flows = join '', map {
    "mc_flow f$_ { mc_source rtmp:///live/f$_;"
    . " mc_output o udp://127.0.0.1:%%out$_%%; }\n"
} 0 .. 3;

my $t = MC->new(workers => 4, flows => $flows,
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%; chunk_size 4096;'
            . ' application live { live on; } }');

my $url = 'rtmp://127.0.0.1:%%rtmp%%/live';

sample($t, 'in.flv', seconds => 4);
sample($t, 'long.flv', seconds => 10);

# which worker has the session, by what nginx-rtmp says

sub workers {
    my ($name) = @_;

    return $t->log =~ /\[info\] (\d+)#\d+: \*\d+ publish: name='$name'/g;
}

# four at once

my @out = map { record($t, "udp://127.0.0.1:%%out$_%%", "out$_.ts") } 0 .. 3;

my @pub = map { publish($t, "$url/f$_", 'in.flv') } 0 .. 3;
my %owner = map { ("f$_" => $t->flow("f$_")->{pid}) } 0 .. 3;

is($_->wait(30), 0, 'published') or diag($_->err) for @pub;

for my $i (0 .. 3) {
    $t->poll(sub { $t->source("f$i")->{state} eq 'waiting' }, 5);
    is($t->source("f$i")->{connections}, 1, "f$i: one connection");
    is($t->source("f$i")->{disconnections}, 1, "f$i: it has ended");
}

sleep 0.5;
$_->stop for @out;

same_media($t, 'in.flv', "out$_.ts", name => "f$_: all of it") for 0 .. 3;

my @apart = grep { (workers($_))[0] != $owner{$_} } sort keys %owner;
diag(scalar(@apart) . ' of 4 sessions were in other workers than flows');


# the owner is killed

{
    my ($pub, $flow, $n);

    # once more, until one is in another worker than its flow

    for (1 .. 20) {
        $flow = "f" . ($_ % 4);
        $n = () = workers($flow);
        $pub = publish($t, "$url/$flow", 'long.flv');
        $t->poll(sub { my @w = workers($flow); @w > $n }, 10);
        last if (workers($flow))[-1] != $t->flow($flow)->{pid};
        $pub->stop;
        $t->poll(sub { $t->source($flow)->{state} eq 'waiting' }, 5);
    }

    ok(live($t, $flow), 'the flow is live');
    isnt((workers($flow))[-1], $t->flow($flow)->{pid},
         'the session is in another worker than its flow');

    my $pid = $t->flow($flow)->{pid};
    my $bytes = $t->source($flow)->{bytes};

    $t->allow(qr/exited on signal 9/) if $t->can('allow');
    kill 'KILL', $pid;

    $t->wait_for(sub {
        my $f = $t->flow($flow) or return 0;
        $f->{pid} && $f->{pid} != $pid
            && $f->{sources}[0]{state} eq 'connected'
            && $f->{sources}[0]{bytes} > $bytes
    }, 10, 'another owner has the publisher');

    ok($pub->running, 'who was not disconnected');
    is($pub->wait(30), 0, 'and who published to the end')
        or diag($pub->err);
}


# reloads

my $n = () = workers('f0');
my $record = record($t, 'udp://127.0.0.1:%%out0%%', 'reloaded.ts');

my $pub = publish($t, "$url/f0", 'long.flv');
ok(live($t, 'f0'), 'the flow is live');
my $connections = $t->source('f0')->{connections};

for my $i (1 .. 20) {
    $t->reload(flows => $flows . "mc_flow x$i { mc_source rtmp:///live/x$i; }");
}

is($pub->wait(40), 0, 'published during 20 reloads') or diag($pub->err);
$t->poll(sub { $t->source('f0')->{state} eq 'waiting' }, 5);
is($t->source('f0')->{connections}, $connections, 'in one connection');

sleep 0.5;
$record->stop;

same_media($t, 'long.flv', 'reloaded.ts', name => 'nothing was lost');


# a flow that ends ends its publisher

$pub = publish($t, "$url/f1", 'long.flv');
ok(live($t, 'f1'), 'the flow is live');
$t->reload(flows => 'mc_flow f0 { mc_source rtmp:///live/f0; }');
cmp_ok($pub->wait(20) || 0, '>', 0, 'its publisher ends with a flow');


# worker_shutdown_timeout, which nginx-rtmp does not heed

my @old = $t->worker_pids;

$t->reload(flows => $flows, main => 'worker_shutdown_timeout 2s;');
$t->wait_for(sub { !grep { MC::alive($_) } @old }, 20,
             'workers without it are gone');

$pub = publish($t, "$url/f2", 'long.flv');
ok(live($t, 'f2'), 'the flow is live');
$t->reload;
cmp_ok($pub->wait(20) || 0, '>', 0,
       'a publisher ends with the time of its worker');
$t->wait_for(sub { !$t->exiting_pids }, 10, 'which ends');
$t->wait_for(sub { $t->source('f2')->{state} eq 'waiting' }, 10,
             'the flow waits in another');
is($t->source('f2')->{disconnections}, $t->source('f2')->{connections},
   'who has ended is counted');

$t->finish;
done_testing();
