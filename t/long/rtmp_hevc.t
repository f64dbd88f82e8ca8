#!/usr/bin/perl

# HEVC by Enhanced RTMP, judged by an ffmpeg that reads and writes it, which that
# of Debian 12 does not: one in a chroot, MC_TRIXIE=/path, such as Debian 13's.
# To it from transport streams over SRT, pushed and played, also by one who
# comes late; from it to SRT, decoded by the ffmpeg of this machine.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use File::Path qw/ remove_tree /;
use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;
use MC::Media qw/ sample convert feed record packets same_media /;
use MC::Rtmp qw/ rtmp_server connected live event /;

my $root = $ENV{MC_TRIXIE} || '';

plan(skip_all => 'MC_TRIXIE names no chroot with an ffmpeg of HEVC over RTMP')
    unless $root && $> == 0 && -x "$root/usr/bin/ffmpeg";

# files go through the chroot's /tmp

my $tmp = "/tmp/mc-hevc-$$";

mkdir "$root$tmp" or plan(skip_all => "$root$tmp: $!");
END { remove_tree("$root$tmp") if $root && $tmp && $$ == ($tmp =~ /(\d+)$/)[0] }

my $t = MC->new(workers => 2, flows => <<'END',
mc_flow to {
    mc_source  srt://:%%in%%;
    mc_output  play  rtmp:///live/out;
    mc_output  push  rtmp://127.0.0.1:%%push%%/live/pushed;
    mc_output  udp   udp://127.0.0.1:%%udp%%;
}
mc_flow from {
    mc_source  rtmp:///live/in;
    mc_output  srt   srt://:%%srt%%;
    mc_output  udp   udp://127.0.0.1:%%udp2%%;
    mc_output  play  rtmp:///live/back;
}
END
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%; chunk_size 4096;'
            . ' application live { live on; } }');

my $url = 'rtmp://127.0.0.1:%%rtmp%%/live';

sub ffmpeg {
    my ($name, @args) = @_;

    return $t->spawn($name, 'chroot', $root, qw/ ffmpeg -v error -nostdin -y /,
                     @args);
}

# what it has written, in our prefix

sub fetch {
    my ($name) = @_;

    system('cp', "$root$tmp/$name", $t->dir . "/$name") if -e "$root$tmp/$name";

    return $name;
}

sub playing {
    my ($name, $from, @args) = @_;

    return ffmpeg("play-$name", '-i', $from,
                  qw/ -map 0 -c copy -copyinkf -flush_packets 1 /, @args,
                  "$tmp/$name");
}

sub hevc {
    my ($file) = @_;

    my ($v) = grep { $_->{type} eq 'video' } packets($t, $file);
    return $v && $v->{codec} eq 'hevc' ? @{ $v->{packets} } : ();
}


# SRT to players and to a server, which is that ffmpeg

my $in = sample($t, 'in.ts', seconds => 16, video => 'hevc', bframes => 2,
                size => '320x180', rate => '300k');

my $pushed = ffmpeg('listen', qw/ -listen 1 -i /,
                    'rtmp://127.0.0.1:%%push%%/live/pushed',
                    qw/ -map 0 -c copy -copyinkf -flush_packets 1 /,
                    "$tmp/pushed.ts");

connected($t, 'to', 'push');

my $early = playing('early.ts', "$url/out");
my $udp = record($t, 'udp://127.0.0.1:%%udp%%', 'through.ts');

$t->wait_for(sub { @{ $t->output('to', 'play')->{peers} } }, 10,
             'a player waits');

my $feed = feed($t, $in, 'srt://127.0.0.1:' . $t->port('in'));

connected($t, 'to');
sleep 5.5;

# not at a key frame

my $late = playing('late.ts', "$url/out");

$feed->wait(40);
$t->poll(sub { $t->source('to')->{state} eq 'waiting' }, 10);
sleep 1;

my $o = $t->output('to', 'play');
my ($track) = grep { $_->{type} eq 'video' } @{ $t->source('to')->{tracks} };

$_->stop for $early, $late, $udp, $pushed;

for my $name (qw/ early.ts late.ts pushed.ts /) {
    my @v = hevc(fetch($name));

    cmp_ok(scalar @v, '>=', 20 * ($name eq 'late.ts' ? 8 : 13),
           "$name: frames of HEVC");
    ok($v[0] && $v[0]{key}, "$name: the first one is a key frame");
    same_media($t, $in, $name, min => 100, name => "$name: all of it");
}

for my $name (qw/ early.ts late.ts /) {
    my @v = hevc($name);
    diag(sprintf '%s: %d frames', $name, scalar @v);
}

same_media($t, $in, 'through.ts', min => 300, name => 'the transport stream');


# that ffmpeg publishes

system('cp', $t->dir . "/$in", "$root$tmp/in.ts");

# once encoded by it, as encoders do, once copied

my $encoded = ffmpeg('encode', '-i', "$tmp/in.ts",
    qw/ -map 0 -c:v libx265 -preset ultrafast -x265-params /,
    'log-level=none:info=0:bframes=2:keyint=25:scenecut=0:pools=1',
    qw/ -c:a aac -b:a 96k -f flv /, "$tmp/encoded.flv");

is($encoded->wait(100), 0, 'encoded') or diag($encoded->err);

my $same = ffmpeg('convert', '-i', "$tmp/encoded.flv",
                  qw/ -map 0 -c copy -copyinkf -pes_payload_size 0 /,
                  "$tmp/encoded.ts");

is($same->wait(30), 0, 'as a transport stream too') or diag($same->err);
fetch('encoded.ts');

my $srt = record($t, 'srt://127.0.0.1:' . $t->port('srt'), 'srt.ts');
$udp = record($t, 'udp://127.0.0.1:%%udp2%%', 'udp.ts');

$t->wait_for(sub { @{ $t->output('from', 'srt')->{peers} } }, 10,
             'a receiver waits');

my $pub = ffmpeg('publish', qw/ -readrate 1 -i /, "$tmp/encoded.flv",
                 qw/ -map 0 -c copy -copyinkf -flvflags no_duration_filesize
                 -f flv /, "$url/in");

ok(live($t, 'from'), 'HEVC is published');
sleep 5.5;

my $back = playing('back.ts', "$url/back");

$t->wait_for(sub {
    my $s = $t->source('from');
    ($track) = grep { $_->{type} eq 'video' } @{ $s->{tracks} };
    $track && $track->{codec} && $track->{frame_rate}
}, 10, 'its track is known');

is($track->{codec}, 'hevc', 'HEVC');
is("$track->{width}x$track->{height}", '320x180', 'its size');
is($t->source('from')->{rtmp}{video_codec_id}, 'hvc1', 'its FourCC');

is($pub->wait(60), 0, 'published') or diag($pub->err);
$t->poll(sub { $t->source('from')->{state} eq 'waiting' }, 10);
sleep 1.5;
$_->stop for $srt, $udp, $back;

fetch('back.ts');

# the same encoder's frames, decoded by this machine's ffmpeg

same_media($t, 'encoded.ts', "$_.ts", min => 300, name => "RTMP to $_")
    for qw/ srt udp /;
same_media($t, 'encoded.ts', 'back.ts', min => 100,
           name => 'RTMP to a late player');

my @v = hevc('back.ts');
ok($v[0] && $v[0]{key}, 'who begins with a key frame');

is(join(' ', map { $_->{code} } grep { $_->{code} eq 'codec_unsupported' }
        $t->events('to'), $t->events('from')), '', 'no codec was refused');

$t->finish;
done_testing();
