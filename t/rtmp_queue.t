#!/usr/bin/perl

# A flow's owner that does not read for a while: what is sent from the worker
# that has the publisher waits, up to a bound.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ sleep /;
use MC;
use MC::Media qw/ sample record same_media /;
use MC::Rtmp qw/ publish live /;


my $t = MC->new(workers => 4,
    rtmp => 'max_message 10m; server { listen 127.0.0.1:%%rtmp%%;'
            . ' chunk_size 65536; application live { live on; } }',
    flows => join '', map {
        "mc_flow f$_ { mc_source rtmp:///live/f$_;"
        . " mc_output o udp://127.0.0.1:%%out$_%%; }\n"
    } 0 .. 3);

sample($t, 'in.flv', seconds => 5);
sample($t, 'big.flv', seconds => 7, rate => '40M', size => '1280x720');

sub workers {
    my ($name) = @_;

    return $t->log =~ /\[info\] (\d+)#\d+: \*\d+ publish: name='$name'/g;
}

# a publisher in another worker than its flow

sub apart {
    my ($file) = @_;

    for my $i (1 .. 20) {
        my $f = 'f' . $i % 4;
        my $n = () = workers($f);
        my $ts = "$f-$i.ts";
        my $r = record($t, 'udp://127.0.0.1:%%out' . $i % 4 . '%%', $ts);
        my $p = publish($t, "rtmp://127.0.0.1:%%rtmp%%/live/$f", $file);

        $t->poll(sub { my @w = workers($f); @w > $n }, 10);
        my $pid = $t->flow($f)->{pid};

        return ($f, $pid, $p, $r, $ts) if (workers($f))[-1] != $pid;

        $p->stop;
        $r->stop;
        $t->poll(sub { $t->source($f)->{state} eq 'waiting' }, 5);
    }

    plan skip_all => 'sessions are always with their flows';
}

sub pause {
    my ($pid, $seconds) = @_;

    kill 'STOP', $pid;
    sleep $seconds;
    kill 'CONT', $pid;
}

my ($flow, $pid, $pub, $rec, $ts) = apart('in.flv');
live($t, $flow);
pause($pid, 1.2);

is($pub->wait(30), 0, 'published') or diag($pub->err);
$t->poll(sub { $t->source($flow)->{state} eq 'waiting' }, 5);
sleep 0.5;
$rec->stop;

is($t->source($flow)->{rtmp}{dropped_frames}, 0, 'nothing is dropped');
same_media($t, 'in.flv', $ts, name => 'nor lost in a pause');

($flow, $pid, $pub, $rec) = apart('big.flv');
live($t, $flow);
my $n = $t->source($flow)->{connections};
pause($pid, 4);

is($pub->wait(40), 0, 'published') or diag($pub->err);
$t->poll(sub { $t->source($flow)->{state} eq 'waiting' }, 5);

my $s = $t->source($flow);
cmp_ok($s->{rtmp}{dropped_frames}, '>', 20, 'what is too much is dropped');
is($s->{connections}, $n, 'in one connection');

$t->finish;
done_testing();
