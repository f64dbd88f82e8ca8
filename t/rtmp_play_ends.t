#!/usr/bin/env perl

# What ends players, and what does not: a source that is silent, publishers
# dropped by nginx-rtmp, processes that die, stopped outputs, exiting workers.

use strict;
use warnings;

use FindBin;
use HTTP::Tiny;
use lib "$FindBin::Bin/lib";

use MC;
use MC::Media qw/ sample feed packets same_media /;
use MC::Rtmp qw/ play connected /;
use Test::More;
use Time::HiRes qw/ time sleep /;

my $flows = <<'END';
mc_flow a {
    mc_source udp://127.0.0.1:%%in%%;
    mc_output o rtmp:///live/a allow=127.0.0.0/8;
    mc_output p rtmp:///live/p allow=127.0.0.0/8;
}
mc_flow sound {
    mc_source udp://127.0.0.1:%%sound%%;
    mc_output o rtmp:///live/sound allow=127.0.0.0/8;
}
END

my $t = MC->new(workers => 3, control => 1, flows => $flows, start => 0,
                main => 'worker_shutdown_timeout 3s;',
                http_conf => 'location /control { rtmp_control all; }',
                rtmp => <<'END');
hls_continuous on;
server {
    listen 127.0.0.1:%%rtmp%%;

    application live {
        live on;
        drop_idle_publisher 1s;

        hls on;
        hls_path %%DIR%%/hls;
        hls_fragment 1s;
    }
}
END

mkdir $t->dir . '/hls' or die $!;
chmod 01777, $t->dir . '/hls';

sample($t, 'in.ts', seconds => 3);
sample($t, 'again.ts', seconds => 40);
sample($t, 'sound.ts', seconds => 3, video => 'none');

$t->start;

my $url = 'rtmp://127.0.0.1:%%rtmp%%/live';


sub players {
    my ($name, $n) = @_;
    my $out = $name =~ /^(p)/ ? 'p' : 'a';

    return map { play($t, "$url/$out", "$name$_.flv", tool => 'rtmpdump') }
           1 .. $n;
}

sub running { scalar grep { $_->running } @_ }

sub shown {
    my ($n, $name, $output) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $t->wait_for(sub {
        my $o = $t->output('a', $output || 'o');
        return $o && @{ $o->{peers} } == $n;
    }, 10, $name);
}


# players wait for a source, and go on when it is back

my ($first) = players('first', 1);
my $sound = play($t, "$url/sound", 'sound.flv', tool => 'rtmpdump');
shown(1, 'a player before there is a source');

feed($t, 'in.ts', 'udp://127.0.0.1:%%in%%');
feed($t, 'sound.ts', 'udp://127.0.0.1:%%sound%%')->wait(20);

$t->wait_for(sub { $t->source('a')->{state} ne 'connected' }, 20,
             'the source is silent');
sleep 1.5;

my $feed = feed($t, 'again.ts', 'udp://127.0.0.1:%%in%%');
connected($t, 'a');
sleep 2;

ok($first->running, 'the player is still there');
$_->stop for $first, $sound;

my ($v) = grep { $_->{type} eq 'video' } packets($t, 'first1.flv');
my @dts = map { $_->{dts} } @{ $v->{packets} };
is((grep { $dts[$_] < $dts[$_ - 1] } 1 .. $#dts), 0, 'time goes on');
cmp_ok(scalar @dts, '>', 75 + 25, 'both parts came');

same_media($t, 'sound.ts', 'sound.flv', whole_end => 0,
           name => 'a flow of sound alone');


# rtmp_control ends the publisher, in whatever worker it is asked

my @p = players('drop', 6);
shown(6, 'players');

my $http = HTTP::Tiny->new;
my $dropped = 0;

for (1 .. 12) {
    my $r = $http->get($t->expand('http://127.0.0.1:%%http%%/control/drop/'
                                  . 'publisher?app=live&name=a'));
    $dropped += $r->{content} || 0;
}

ok($dropped > 0, 'publishers are dropped');
sleep 2.5;
is(running(@p), 6, 'players stay');


# each worker is killed: others keep theirs, HLS goes on

$t->allow(qr/exited on signal 9/);

for my $i (0 .. 2) {
    kill 'KILL', ($t->worker_pids)[$i];

    $t->wait_for(sub { @{[ $t->worker_pids ]} == 3 }, 10, 'a new worker');
    $t->wait_for(sub {
        my $o = $t->output('a', 'o');
        return $o && @{ $o->{peers} } == running(@p);
    }, 10, 'players of other workers stay');

    my $killed = time();
    $t->wait_for(sub { ((stat $t->dir . '/hls/a.m3u8')[9] || 0) > $killed + 1 },
                 10, 'HLS goes on');
}

my @again = players('again', 3);
$t->wait_for(sub { running(@again) == 3
                   && @{ $t->output('a', 'o')->{peers} }
                      == running(@p) + 3 }, 10, 'and new ones');


# an output is stopped and started

my @other = players('p', 1);
shown(1, 'a player of another output', 'p');

$t->post('/flows/a/outputs/o/stop');
$_->wait(10) for @p, @again;
is(running(@p, @again), 0, 'players of a stopped output end');
ok($other[0]->running, 'the other output is not concerned');

$t->post('/flows/a/outputs/o/start');
@p = players('on', 3);
shown(3, 'players of an output that is started again');


# worker_shutdown_timeout

$t->reload;
$_->wait(15) for @p, @other;
is(running(@p, @other), 0, 'workers that must end take their players along');
$t->wait_for(sub { @{[ $t->worker_pids(1) ]} == 3 }, 15, 'and end');


# a flow is removed

@p = players('last', 3);
shown(3, 'players after that');
$t->reload(flows => '');
$_->wait(10) for @p;
is(running(@p), 0, 'players of a removed flow end');

$feed->stop;
$t->finish;

done_testing();
