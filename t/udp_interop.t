#!/usr/bin/perl

# ffmpeg, GStreamer and multicat as senders and receivers of RTP and UDP: a
# test picture goes through and decodes without errors.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;

my $t = MC->new(start => 0, workers => 2, log => 'notice');

# who speaks RTP also takes the next port, for RTCP

$t->port($_, 2) for qw/ ffrtp ffrtp_ff gst_rtp gstrtp_ff mcrtp mcudp_ff /;

$t->{flows} = <<'END';
mc_flow ffmpeg-rtp {
    mc_source  rtp://127.0.0.1:%%ffrtp%%;
    mc_output  ffmpeg    rtp://127.0.0.1:%%ffrtp_ff%%;
    mc_output  gst       rtp://127.0.0.1:%%ffrtp_gst%%;
    mc_output  multicat  rtp://127.0.0.1:%%ffrtp_mc%%;
    mc_output  udp       udp://127.0.0.1:%%ffrtp_udp%%;
}
mc_flow ffmpeg-udp {
    mc_source  udp://127.0.0.1:%%ffudp%%;
    mc_output  ffmpeg    udp://127.0.0.1:%%ffudp_ff%%;
    mc_output  gst       udp://127.0.0.1:%%ffudp_gst%%;
    mc_output  multicat  udp://127.0.0.1:%%ffudp_mc%%;
    mc_output  rtp       rtp://127.0.0.1:%%ffudp_rtp%%;
}
mc_flow gst-rtp {
    mc_source  rtp://127.0.0.1:%%gst_rtp%%;
    mc_output  ffmpeg    rtp://127.0.0.1:%%gstrtp_ff%%  rtp=new;
    mc_output  gst       rtp://127.0.0.1:%%gstrtp_gst%%;
    mc_output  multicat  rtp://127.0.0.1:%%gstrtp_mc%%  rtp=new  pace=pcr;
}
mc_flow gst-udp {
    mc_source  udp://127.0.0.1:%%gstudp%%;
    mc_output  multicat  udp://127.0.0.1:%%gstudp_mc%%;
    mc_output  gst       rtp://127.0.0.1:%%gstudp_gst%%  pace=pcr;
}
mc_flow multicat-rtp {
    mc_source  rtp://127.0.0.1:%%mcrtp%%;
    mc_output  multicat  rtp://127.0.0.1:%%mcrtp_mc%%;
    mc_output  gst       udp://127.0.0.1:%%mcrtp_gst%%;
}
mc_flow multicat-udp {
    mc_source  udp://127.0.0.1:%%mcudp%%;
    mc_output  multicat  udp://127.0.0.1:%%mcudp_mc%%  pace=pcr;
    mc_output  ffmpeg    rtp://127.0.0.1:%%mcudp_ff%%  pace=pcr;
}
END

$t->start;

# five seconds of picture and tone, once

my ($exit, undef, $err) = $t->run(qw/ ffmpeg -v error -nostdin
    -f lavfi -i testsrc=size=320x240:rate=25 -f lavfi -i sine=1000 -t 5
    -c:v libx264 -preset ultrafast -tune zerolatency -g 25 -b:v 1M -c:a aac
    -f mpegts picture.ts /);
is($err, '', 'a picture');

my $picture = $t->read_file('picture.ts');


# receivers: ffmpeg decodes as it comes, the others write files

my (%ffmpeg, %file);

for (['ffrtp_ff', 'rtp'], ['ffudp_ff', 'udp'], ['gstrtp_ff', 'rtp'],
     ['mcudp_ff', 'rtp'])
{
    my ($port, $proto) = @$_;
    my $url = "udp://127.0.0.1:%%$port%%?fifo_size=50000&timeout=15000000";

    # of rtp:// ffmpeg throws the first datagrams away, to learn what it is

    if ($proto eq 'rtp') {
        $t->write_file("$port.sdp", "v=0\r\nc=IN IP4 127.0.0.1\r\n"
                                    . "m=video %%$port%% RTP/AVP 33\r\n");
        $url = "$port.sdp";
    }

    $ffmpeg{$port} = $t->spawn($port, 'timeout', '-s', 'INT', 30,
        qw/ ffmpeg -v error -nostdin -protocol_whitelist/, 'file,udp,rtp', qw/
            -analyzeduration 1000000 -probesize 200000 -i /, $url,
        qw/ -map 0:v -t 3.5 -f framecrc - /);
}

for (['ffrtp_gst', 'rtp'], ['ffudp_gst', 'udp'], ['gstrtp_gst', 'rtp'],
     ['gstudp_gst', 'rtp'], ['mcrtp_gst', 'udp'])
{
    my ($port, $proto) = @$_;

    $file{$port} = $t->spawn($port, qw/ gst-launch-1.0 -q udpsrc
        address=127.0.0.1 buffer-size=2000000 /, "port=%%$port%%",
        $proto eq 'rtp'
            ? ('caps=application/x-rtp,media=video,clock-rate=90000,'
               . 'encoding-name=MP2T,payload=33', '!', 'rtpmp2tdepay')
            : (), '!', 'filesink', "location=$port.ts", 'buffer-mode=2');
}

for (['ffrtp_mc', 'rtp'], ['ffrtp_udp', 'udp'], ['ffudp_mc', 'udp'],
     ['ffudp_rtp', 'rtp'], ['gstrtp_mc', 'rtp'], ['gstudp_mc', 'udp'],
     ['mcrtp_mc', 'rtp'], ['mcudp_mc', 'udp'])
{
    my ($port, $proto) = @$_;

    $file{$port} = $t->spawn($port, 'multicat',
                             $proto eq 'udp' ? '-u' : (),
                             '@127.0.0.1:%%' . "$port%%", "$port.ts");
}

# all of them have opened their ports

my %taken = map { $t->port($_) => $_ } keys %ffmpeg, keys %file;

$t->wait_for(sub {
    my %open = map { /^\s*\d+:\s+[0-9A-F]+:([0-9A-F]{4})/ ? (hex $1 => 1) : () }
        split /\n/, $t->read_file('/proc/net/udp');
    !grep { !$open{$_} } keys %taken;
}, 20, 'receivers are there');


# senders

my %sender = (
    'ffmpeg-rtp' => $t->spawn('ffmpeg-rtp', qw/ ffmpeg -v error -nostdin -re
        -i picture.ts -map 0 -c copy -f rtp_mpegts /,
        'rtp://127.0.0.1:%%ffrtp%%?pkt_size=1328'),
    'ffmpeg-udp' => $t->spawn('ffmpeg-udp', qw/ ffmpeg -v error -nostdin -re
        -i picture.ts -map 0 -c copy -f mpegts /,
        'udp://127.0.0.1:%%ffudp%%?pkt_size=1316'),
    'gst-rtp' => $t->spawn('gst-rtp', qw/ gst-launch-1.0 -q filesrc
        location=picture.ts ! tsparse set-timestamps=true alignment=7
        smoothing-latency=40000 ! rtpmp2tpay pt=33 ! udpsink host=127.0.0.1
        sync=true port=%%gst_rtp%% /),
    'gst-udp' => $t->spawn('gst-udp', qw/ gst-launch-1.0 -q filesrc
        location=picture.ts ! tsparse set-timestamps=true alignment=7
        smoothing-latency=40000 ! udpsink host=127.0.0.1 sync=true
        port=%%gstudp%% /),
);

# multicat takes its times from a file that ingests makes

is(($t->run('ingests', '-p', 256, 'picture.ts'))[0], 0, 'ingests');

$sender{'multicat-rtp'} = $t->spawn('multicat-rtp', qw/ multicat picture.ts
                                    127.0.0.1:%%mcrtp%% /);
$sender{'multicat-udp'} = $t->spawn('multicat-udp', qw/ multicat -U picture.ts
                                    127.0.0.1:%%mcudp%% /);

for (sort keys %sender) {
    is($sender{$_}->wait(30), 0, "$_ has sent")
        or diag($sender{$_}->err);
}

$t->wait_for(sub {
    !grep { $t->source($_)->{state} ne 'waiting' } keys %sender;
}, 10, 'all sources are silent');


# what became of it

for my $flow (sort keys %sender) {
    my $f = $t->flow($flow);
    my $s = $f->{sources}[0];

    cmp_ok($s->{packets}, '>', 100, "$flow: packets of the source");
    is($s->{rejected}, 0, "$flow: nothing refused");
    is($s->{ts}{continuity_errors}, 0, "$flow: no continuity errors");
    is($s->{rtp}{lost_packets} + $s->{rtp}{duplicate_packets}
       + $s->{rtp}{reordered_packets}, 0, "$flow: no loss, all in order")
        if $s->{rtp};
    is(scalar(grep { $_->{dropped_packets} == 0 } @{ $f->{outputs} }),
       scalar @{ $f->{outputs} }, "$flow: outputs dropped nothing");
}

for (sort keys %ffmpeg) {
    my $p = $ffmpeg{$_};
    $p->wait(10);
    $p->stop;

    my $frames = () = $p->out =~ /^0,/mg;
    is($p->err, '', "$_: ffmpeg decodes without errors");
    cmp_ok($frames, '>=', 80, "$_: frames of three and a half seconds");
}

for (sort keys %file) {
    $file{$_}->signal('INT');
    $file{$_}->wait(5);
    $file{$_}->stop;

    # the last frame is cut by ffmpeg's RTP sender itself

    my ($exit, $out, $err) = $t->run(qw/ ffmpeg -v error -nostdin -t 4.5 -i /,
                                     "$_.ts", qw/ -map 0 -f framecrc - /);
    my $frames = () = $out =~ /^0,/mg;

    is($err, '', "$_: decodes without errors");
    cmp_ok($frames, '>=', 110, "$_: frames of four and a half seconds");
}

# multicat sends a file as it is, the last datagram filled up

for (qw/ mcrtp_mc mcrtp_gst mcudp_mc /) {
    my $got = $t->read_file("$_.ts");

    ok(substr($got, 0, length $picture) eq $picture, "$_: the same bytes")
        or diag(length($got) . ' of ' . length $picture);
}

$t->finish;
done_testing();
