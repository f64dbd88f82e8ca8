#!/usr/bin/env perl

# Players of flows: they land on any worker, begin with a key frame, and notice
# nothing of reloads; HLS, recordings and rtmp_stat have the flow once.

use strict;
use warnings;

use FindBin;
use HTTP::Tiny;
use lib "$FindBin::Bin/lib";

use MC;
use MC::Media qw/ sample feed record packets same_media /;
use MC::Rtmp qw/ play connected event /;
use Test::More;
use Time::HiRes qw/ time sleep /;

my $rtmp = <<'END';
hls_continuous on;
server {
    listen 127.0.0.1:%%rtmp%%;
    max_connections 40;
    ping 3s;
    ping_timeout 2s;

    application live {
        live on;
        wait_key off;
        drop_idle_publisher 1s;

        hls on;
        hls_path %%DIR%%/hls;
        hls_fragment 1s;
        hls_playlist_length 2m;

        record all;
        record_path %%DIR%%/rec;
        record_suffix -all.flv;
        record_unique on;

        recorder audio {
            record audio;
            record_path %%DIR%%/rec;
            record_suffix -audio.flv;
            record_unique on;
        }

        exec_publish sh -c "echo publish $name >> %%DIR%%/rec/exec";
        exec_publish_done sh -c "echo done $name >> %%DIR%%/rec/exec";
    }

    application plain {
        live on;
    }
}
END

my $flows = <<'END';
mc_flow a {
    mc_source srt://:%%in%%;
    mc_output o rtmp:///live/a allow=127.0.0.0/8;
}
mc_flow b {
    mc_source udp://127.0.0.1:%%udp%%;
    mc_output o rtmp:///plain/b allow=127.0.0.0/8;
}
mc_flow c {
    mc_source udp://127.0.0.1:%%none%%;
    mc_output few rtmp:///plain/few allow=127.0.0.0/8 max_peers=1;
    mc_output far rtmp:///plain/far allow=192.0.2.0/24;
}
END

my $t = MC->new(workers => 4, rtmp => $rtmp, flows => $flows, start => 0,
                http_conf => 'location /stat { rtmp_stat all; }');

for my $name (qw/ hls rec /) {
    mkdir $t->dir . "/$name" or die $!;
    chmod 01777, $t->dir . "/$name";
}

sample($t, 'in.ts', seconds => 24, gop => 25, bframes => 2);
sample($t, 'hevc.ts', seconds => 9, video => 'hevc', gop => 25);

$t->start;

my $url = 'rtmp://127.0.0.1:%%rtmp%%';


# many reloads, players of each kind in each worker

my $feed = feed($t, 'in.ts', 'srt://127.0.0.1:%%in%%');
connected($t, 'a');

my %player;

for my $name (qw/ rtmpdump gst ffmpeg1 ffmpeg2 ffmpeg3 ffmpeg4 ffmpeg5 /) {
    (my $tool = $name) =~ s/\d//;
    $player{"$name.flv"} = play($t, "$url/live/a", "$name.flv",
                                tool => $tool);
}

$t->wait_for(sub { @{ $t->output('a', 'o')->{peers} } == 7 }, 10,
             'players are shown');
is($t->output('a', 'o')->{state}, 'connected', 'state with players');

for my $n (1 .. 20) {
    $t->reload;

    next if $n % 5;

    my $name = "late$n.flv";
    $player{$name} = play($t, "$url/live/a", $name);
}

is((grep { $_->running } values %player), 11, 'all play on after 20 reloads');
$t->wait_for(sub { @{ $t->output('a', 'o')->{peers} } == 11 }, 10,
             'all are shown');

$t->wait_for(sub {
    return (grep { $_->{bytes} > 0 && $_->{packets} > 0 }
            @{ $t->output('a', 'o')->{peers} }) == 11;
}, 10, 'peers have counters');

my $o = $t->output('a', 'o');
ok($o->{bytes} > 0 && $o->{packets} > 0, 'the output too');

$feed->wait(40);

# what has come is to be written, too

sleep 1;
$_->stop for values %player;

same_media($t, 'in.ts', $_, name => "in.ts to $_", whole_end => 0)
    for sort keys %player;

$t->wait_for(sub { $t->output('a', 'o')->{state} eq 'waiting' }, 10,
             'waiting again');


# what else nginx-rtmp makes of it, in one worker only

my $list = $t->read_file('hls/a.m3u8');
my @ts = $list =~ /^(a-\d+\.ts)$/mg;
ok(@ts > 8, 'HLS has fragments');
my %seen;
is((grep { $seen{$_}++ } @ts), 0, 'each once');

my @rec = map { s/.*\///r } glob $t->dir . '/rec/a-*-all.flv';
ok(@rec, 'recorded');
ok(scalar(() = glob $t->dir . '/rec/a-*-audio.flv'), 'by a recorder too');

my $frames = 0;
for my $name (@rec) {
    my ($v) = grep { $_->{type} eq 'video' } packets($t, "rec/$name");
    $frames += $v ? @{ $v->{packets} } : 0;
}

my ($v) = grep { $_->{type} eq 'video' } packets($t, 'in.ts');
cmp_ok($frames, '<=', @{ $v->{packets} } + 0, 'no frame recorded twice');
cmp_ok($frames, '>', 0.5 * @{ $v->{packets} }, 'most are recorded');

my $exec = $t->read_file('rec/exec');
my ($on, $off) = map { my $w = $_; scalar(() = $exec =~ /^$w a$/mg) }
                 qw/ publish done /;
ok($on >= 1 && $on - $off <= 1 && $on >= $off, "exec ($on, $off)");


# HEVC, which nginx-rtmp does not know, with wait_key; played by a flow

$feed = feed($t, 'hevc.ts', 'udp://127.0.0.1:%%udp%%');
connected($t, 'b');

sleep 2.3;

my $hevc = record($t, 'udp://127.0.0.1:%%ts%%', 'out.ts');
$t->reload(flows => $flows .= <<'END');
mc_flow d {
    mc_source rtmp://127.0.0.1:%%rtmp%%/plain/b;
    mc_output ts udp://127.0.0.1:%%ts%%;
}
END

my $stat = '';
$t->wait_for(sub {
    $stat = HTTP::Tiny->new->get($t->expand('http://127.0.0.1:%%http%%/stat'))
            ->{content};
    return $stat =~ m!<name>b</name>!;
}, 10, 'rtmp_stat lists the stream');

$feed->wait(30);
sleep 1;
$hevc->stop;

same_media($t, 'hevc.ts', 'out.ts', name => 'HEVC', whole_end => 0);


# who may not

my $first = play($t, "$url/plain/few", 'few1.flv');
$t->wait_for(sub { @{ $t->output('c', 'few')->{peers} } == 1 }, 10,
             'the one that max_peers lets in');

my $second = play($t, "$url/plain/few", 'few2.flv');
$second->wait(10);
ok($first->running, 'stays');

my $far = play($t, "$url/plain/far", 'far.flv');
$far->wait(10);
event($t, 'c', 'rejected_address', 10, 'an event of a refused address');
is($t->output('c', 'far')->{rejected}, 1, 'and counted');
is($t->output('c', 'few')->{rejected}, 1, 'one too many is counted');

# a change of allow= while it plays

$t->reload(flows => $flows =~ s/(few allow=)127.0.0.0/${1}192.0.2.0/r);
$first->wait(10);
$t->wait_for(sub { @{ $t->output('c', 'few')->{peers} } == 0 }, 10,
             'a player no longer allowed is cut');

$t->stop('quit');

$exec = $t->read_file('rec/exec');
($on, $off) = map { my $w = $_; scalar(() = $exec =~ /^$w a$/mg) }
              qw/ publish done /;
is($off, $on, 'what was begun is ended');

$t->finish;

done_testing();
