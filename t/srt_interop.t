#!/usr/bin/perl

# ffmpeg, GStreamer and srt-live-transmit as peers, calling and listening,
# plain and encrypted: a test picture goes through and decodes without errors.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;

my $t = MC->new(workers => 2, log => 'notice', flows => <<'END');
mc_flow ffmpeg {
    mc_source  srt://:%%port%%  streamid=cam/1  passphrase=ffmpeg-secret;
    mc_output  o  srt://:%%port%%  streamid=cam/1  passphrase=ffmpeg-secret;
    mc_output  to-ffmpeg  srt://127.0.0.1:%%to_ffmpeg%%
                          passphrase=ffmpeg-secret;
    mc_output  to-gst     srt://127.0.0.1:%%to_gst%%  passphrase=ffmpeg-secret
                          pbkeylen=32;
    mc_output  to-slt     srt://127.0.0.1:%%to_slt%%;
}
mc_flow gst {
    mc_source  srt://:%%port%%  streamid=#!::r=gst  passphrase=gst-secret
               pbkeylen=24;
    mc_output  o  srt://:%%gst_out%%;
}
mc_flow gst-pull {
    mc_source  srt://127.0.0.1:%%gst_listen%%;
    mc_output  o  srt://:%%gst_pull%%;
}
mc_flow slt {
    mc_source  srt://:%%slt%%  streamid=slt  passphrase=slt-secret
               pbkeylen=16;
    mc_output  o  srt://:%%slt_out%%;
}
END

my @encode = (qw/ ffmpeg -v error -nostdin -re -f lavfi -i
                  testsrc=size=320x240:rate=25 -f lavfi -i sine=1000
                  -c:v libx264 -preset ultrafast -tune zerolatency -g 25
                  -b:v 1M -c:a aac -t 10 -f mpegts -flush_packets 1 /);

my $gst = 'gst-launch-1.0 -q videotestsrc is-live=true num-buffers=250'
    . ' ! video/x-raw,width=320,height=240,framerate=25/1 ! '
    . (system('gst-inspect-1.0 x264enc >/dev/null 2>&1') == 0
     ? 'x264enc tune=zerolatency speed-preset=ultrafast key-int-max=25'
       . ' bitrate=1000'
     : 'openh264enc gop-size=25 bitrate=1000000')
    . ' ! h264parse config-interval=-1 ! mpegtsmux alignment=7 !';

# four seconds of what comes, decoded; each frame is a line

my @decode = qw/ -map 0:v -t 4 -f framecrc - /;

sub decode {
    my ($name, $url, @options) = @_;

    return $t->spawn("decode-$name", qw/ ffmpeg -v error -nostdin /, @options,
                     '-i', $url, @decode);
}

sub decoded {
    my ($p, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $p->wait(30);

    my $frames = () = $p->out =~ /^0,/mg;
    is($p->err, '', "$name: no errors");
    cmp_ok($frames, '>=', 95, "$name: frames of four seconds");
}

sub peers {
    my ($flow, $output, $n) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $t->wait_for(sub {
        my $o = $t->output($flow, $output) or return 0;
        $n ? @{ $o->{peers} } == $n : $o->{state} eq 'connected';
    }, 20, "$flow: $output is connected");
}


# ffmpeg publishes; all three receive, as callers and as listeners

my $pass = 'passphrase=ffmpeg-secret';

my $in = decode('ffmpeg', 'srt://127.0.0.1:%%port%%?mode=caller'
                . "&streamid=#!::r=cam/1,m=request&$pass&latency=60000");
my $slt = $t->spawn('slt', 'sh', '-c',
                    'exec srt-live-transmit -q "$1" file://con >slt.ts',
                    'sh', "srt://127.0.0.1:%%port%%?streamid=#!::r=cam/1&$pass");
my $gin = $t->spawn('gst', qw/ gst-launch-1.0 -q srtsrc /,
                    'uri=srt://127.0.0.1:%%port%%?streamid=%23!::r=cam/1'
                    . "&$pass",
                    qw/ ! filesink location=gst.ts /);

my $lin = decode('ffmpeg-listener', "srt://127.0.0.1:%%to_ffmpeg%%"
                 . "?mode=listener&$pass");
my $lslt = $t->spawn('slt-listener', 'sh', '-c',
                     'exec srt-live-transmit -q "$1" file://con >lslt.ts',
                     'sh', 'srt://:%%to_slt%%');
my $lgin = $t->spawn('gst-listener', qw/ gst-launch-1.0 -q srtsrc /,
                     "uri=srt://127.0.0.1:%%to_gst%%?mode=listener&$pass",
                     qw/ ! filesink location=lgst.ts /);

peers('ffmpeg', 'o', 3);
peers('ffmpeg', "to-$_") for qw/ ffmpeg gst slt /;

my $out = $t->spawn('encoder', @encode,
                    'srt://127.0.0.1:%%port%%?mode=caller'
                    . "&streamid=#!::m=publish,r=cam/1&$pass&pkt_size=1316");

decoded($in, 'ffmpeg to ffmpeg');
decoded($lin, 'ffmpeg to listening ffmpeg');

is($t->output('ffmpeg', 'to-gst')->{srt}{key_length}, 32,
   'GStreamer listens: AES-256');
is($t->output('ffmpeg', 'to-slt')->{srt}{key_length}, 0,
   'srt-live-transmit listens: not encrypted');
is($t->source('ffmpeg')->{ts}{continuity_errors}, 0,
   'no continuity errors in what ffmpeg sent');

for (['gst.ts', $gin, 'ffmpeg to GStreamer'],
     ['slt.ts', $slt, 'ffmpeg to srt-live-transmit'],
     ['lgst.ts', $lgin, 'ffmpeg to listening GStreamer'],
     ['lslt.ts', $lslt, 'ffmpeg to listening srt-live-transmit'])
{
    my ($file, $p, $name) = @$_;

    $t->poll(sub { -s $t->dir . "/$file" && -s _ > 700_000 }, 15);
    $p->stop;

    decoded(decode($name, "%%DIR%%/$file"), $name);
}

$out->stop;


# GStreamer publishes, and is pulled from

$in = decode('gst', 'srt://127.0.0.1:%%gst_out%%');
peers('gst', 'o', 1);

$out = $t->spawn('gst-sender', 'sh', '-c', "exec $gst srtsink \"uri=\$1\"",
                 'sh', 'srt://127.0.0.1:%%port%%?mode=caller'
                 . '&streamid=%23!::r=gst,m=publish'
                 . '&passphrase=gst-secret&pbkeylen=24');

my $lout = $t->spawn('gst-server', 'sh', '-c', "exec $gst srtsink \"uri=\$1\"",
                     'sh', 'srt://127.0.0.1:%%gst_listen%%?mode=listener');

$lin = decode('gst-pull', 'srt://127.0.0.1:%%gst_pull%%');

$t->wait_for(sub { $t->source('gst')->{srt}{key_length} }, 10,
             'GStreamer publishes');
is($t->source('gst')->{srt}{key_length}, 24, 'AES-192');

decoded($in, 'GStreamer to ffmpeg');

# who joins a stream that runs sees its first key frame a little later

$lin->wait(30);
my $frames = () = $lin->out =~ /^0,/mg;
cmp_ok($frames, '>=', 70, 'listening GStreamer to ffmpeg');

$_->stop for $out, $lout;


# srt-live-transmit brings what it gets over UDP

$in = decode('slt', 'srt://127.0.0.1:%%slt_out%%');
peers('slt', 'o', 1);

$slt = $t->spawn('slt', 'srt-live-transmit', '-q',
                 'udp://127.0.0.1:%%slt_udp%%',
                 'srt://127.0.0.1:%%slt%%?streamid=slt&passphrase=slt-secret');
$t->wait_for(sub { $t->source('slt')->{state} eq 'connected' }, 10,
             'srt-live-transmit is connected');
$out = $t->spawn('udp', @encode, 'udp://127.0.0.1:%%slt_udp%%?pkt_size=1316');

decoded($in, 'srt-live-transmit to ffmpeg');

$_->stop for $slt, $out;

$t->finish;
done_testing();
