#!/usr/bin/env perl

# Players of flows: they land on any worker, begin with a key frame, and notice
# nothing of reloads; HLS, recordings and rtmp_stat have the flow once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use MC;
use MC::Media qw/ sample feed packets same_media /;
use MC::Rtmp qw/ play connected /;
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

}
END

my $flows = <<'END';
mc_flow a {
    mc_source srt://:%%in%%;
    mc_output o rtmp:///live/a allow=127.0.0.0/8;
}
END

my $t = MC->new(workers => 4, rtmp => $rtmp, flows => $flows, start => 0);

for my $name (qw/ hls rec /) {
    mkdir $t->dir . "/$name" or die $!;
    chmod 01777, $t->dir . "/$name";
}

sample($t, 'in.ts', seconds => 16, gop => 25, bframes => 2);

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
is($t->output('a', 'o')->{rtmp}{chunk_size}, 4096, 'chunk size of the server');

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

my $sum;
$t->poll(sub {
    my $o = $t->output('a', 'o');

    $sum = 0;
    $sum += $_->{packets} for @{ $o->{peers} };
    return $o->{rtmp}{frames} >= $sum;
}, 10);
cmp_ok($t->output('a', 'o')->{rtmp}{frames}, '>=', $sum,
       'frames are the sum of all players');

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


$t->stop('quit');

# the last shell may outlive the nginx that has started it

$t->poll(sub {
    $exec = $t->read_file('rec/exec');
    ($on, $off) = map { my $w = $_; scalar(() = $exec =~ /^$w a$/mg) }
                  qw/ publish done /;
    $off == $on;
}, 5);

is($off, $on, 'what was begun is ended');

$t->finish;

done_testing();
