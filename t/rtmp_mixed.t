#!/usr/bin/perl

# RTMP beside the other protocols in one flow: one source to every kind of
# output, primary and backup, the operator's choice between them, tracks that
# are selected, that RTMP cannot carry or that are no media; what the status
# says of all that.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;
use MC::Media qw/ sample convert packets feed record same_media /;
use MC::Rtmp qw/ publish play rtmp_server connected live event /;

my $server = rtmp_server();

sub push_url { $server->rtmp_url($_[0]) }

my $flows = <<"END";

# from one source to everything

mc_flow srt {
    mc_source  srt://:%%srt_in%%;
    mc_output  push  @{[ push_url('srt') ]};
    mc_output  play  rtmp:///live/srt_out;
    mc_output  srt   srt://:%%srt_srt%%;
    mc_output  rtp   rtp://127.0.0.1:%%srt_rtp%%;
    mc_output  udp   udp://127.0.0.1:%%srt_udp%%;
}
mc_flow rtmp {
    mc_source  rtmp:///live/rtmp_in;
    mc_output  push  @{[ push_url('rtmp') ]};
    mc_output  play  rtmp:///live/rtmp_out;
    mc_output  srt   srt://:%%rtmp_srt%%;
    mc_output  rtp   rtp://127.0.0.1:%%rtmp_rtp%%;
    mc_output  udp   udp://127.0.0.1:%%rtmp_udp%%;
}

# two pipelines

mc_flow two {
    mc_source  rtmp:///live/a;
    mc_source  rtmp:///live/b  backup;
    mc_output  push  @{[ push_url('two_a') ]};
    mc_output  push  @{[ push_url('two_b') ]}  backup;
    mc_output  play  rtmp:///live/two;
    mc_output  udp   udp://127.0.0.1:%%two_udp%%;
}
mc_flow both {
    mc_source  srt://:%%both_in%%;
    mc_source  rtmp:///live/both  backup;
    mc_output  push  @{[ push_url('both') ]};
    mc_output  play  rtmp:///live/both_out;
    mc_output  udp   udp://127.0.0.1:%%both_udp%%;
    mc_output  udp   udp://127.0.0.1:%%both_udp2%%  backup;
}

# what another server has got from a flow

mc_flow chain {
    mc_source  @{[ push_url('rtmp') ]};
    mc_output  udp  udp://127.0.0.1:%%chain_udp%%;
    mc_output  play  rtmp:///live/chain_out;
}

# tracks

mc_flow select {
    mc_source  udp://127.0.0.1:%%select_in%%;
    mc_output  first    @{[ push_url('first') ]};
    mc_output  program  @{[ push_url('program') ]}  program=2;
    mc_output  pids     @{[ push_url('pids') ]}  program=2  video=257 audio=259;
    mc_output  other    @{[ push_url('other') ]}  video=259;
}
mc_flow language {
    mc_source  udp://127.0.0.1:%%language_in%%;
    mc_output  fra    @{[ push_url('fra') ]}  audio=fra;
    mc_output  pid    @{[ push_url('pid') ]}  audio=258;
    mc_output  none   @{[ push_url('none') ]}  audio=swe;
}
mc_flow ac3 {
    mc_source  udp://127.0.0.1:%%ac3_in%%;
    mc_output  push  @{[ push_url('ac3') ]};
    mc_output  udp   udp://127.0.0.1:%%ac3_udp%%;
}
mc_flow nothing {
    mc_source  udp://127.0.0.1:%%nothing_in%%;
    mc_output  push  @{[ push_url('nothing') ]};
    mc_output  udp   udp://127.0.0.1:%%nothing_udp%%;
}
END

my $t = MC->new(workers => 2, control => 1, flows => $flows, limit => 100,
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%; chunk_size 4096;'
            . ' application live { live on; } }');

my $url = 'rtmp://127.0.0.1:%%rtmp%%/live';

sub wait_end {
    my ($flow) = @_;
    $t->poll(sub { $t->source($flow)->{state} ne 'connected' }, 10);
}


# what goes in

my %size = (size => '320x180', rate => '300k');
my $ts = sample($t, 'in.ts', seconds => 11, bframes => 2, %size);
my $flv = sample($t, 'in.flv', seconds => 11, bframes => 2, fps => 30, %size,
                 hz => 44100);

sub to {
    my ($flow) = @_;

    my %r = map { $_ => record($t, ($_ eq 'srt' ? 'srt' : $_)
                               . '://127.0.0.1:' . $t->port("${flow}_$_"),
                               "$flow-$_.ts") } qw/ srt rtp udp /;

    $r{play} = play($t, "$url/${flow}_out", "$flow-play.flv", tool => 'gst');

    $t->wait_for(sub {
        @{ $t->output($flow, 'srt')->{peers} }
        && @{ $t->output($flow, 'play')->{peers} }
    }, 10, "$flow: receivers are there");
    connected($t, $flow, 'push');

    return %r;
}

sub check {
    my ($flow, $in, %r) = @_;

    my ($size, $same) = (-1, 0);

    $t->poll(sub {
        my $now = $server->recorded_size($flow);
        $same = $now == $size ? $same + 1 : 0;
        $size = $now;
        $same >= 8
    }, 10, 0.1);

    $_->stop for values %r;

    my %file = (map({ $_ => "$flow-$_.ts" } qw/ srt rtp udp /),
                play => "$flow-play.flv", push => $server->recorded($t, $flow));

    for my $kind (sort keys %file) {
        # 44.1 kHz and milliseconds do not go together

        same_media($t, $in, $file{$kind}, min => 200, tolerance => 1.1,
                   name => "$flow to $kind: all of it");
    }
}

# the status of an endpoint, by what the sample is

sub tracks {
    my ($name, $e, %o) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my ($v, $a) = map {
        my $type = $_;
        (grep { $_->{type} eq $type } @{ $e->{tracks} || [] })[0] || {};
    } qw/ video audio /;

    is("$v->{codec} $v->{width}x$v->{height}", 'h264 320x180',
       "$name: the picture");
    ok($v->{frame_rate} && abs($v->{frame_rate} / $o{fps} - 1) <= 0.01,
       "$name: its rate") or diag(explain($v));
    is("$a->{codec} $a->{sample_rate} $a->{channels}", "aac $o{hz} 2",
       "$name: the sound");

    return ($v, $a);
}

# bits of media a second, in the middle of a file

sub media_rate {
    my ($file, $type) = @_;

    my ($s) = grep { $_->{type} eq $type } packets($t, $file);
    my $bits = 0;
    $bits += 8 * $_->{size} for @{ $s->{packets} };
    my @p = sort { $a <=> $b } map { $_->{pts} } @{ $s->{packets} };

    return $bits / ($p[-1] - $p[0] + 1 / 25);
}


# one source, SRT and RTMP, to all kinds; and what the server has, pulled

my %srt = to('srt');
my %rtmp = to('rtmp');

my $chain = record($t, 'udp://127.0.0.1:' . $t->port('chain_udp'),
                   'chain.ts');

my $feed = feed($t, $ts, 'srt://127.0.0.1:' . $t->port('srt_in'));
my $pub = publish($t, "$url/rtmp_in", $flv);

ok(live($t, $_), "$_: live") for qw/ srt rtmp /;
connected($t, 'chain');

# several looks at what is of the last second

my (%rate, %bitrate);

sleep 1.2;

for (1 .. 6) {
    sleep 1;

    for my $flow (qw/ srt rtmp chain /) {
        my $s = $t->source($flow);
        push @{ $bitrate{$flow} }, $s->{bitrate};

        my ($v) = grep { $_->{type} eq 'video' } @{ $s->{tracks} };
        push @{ $rate{$flow} }, $v->{frame_rate} || 0 if $v;
    }
}

my %status = map { $_ => $t->flow($_) } qw/ srt rtmp chain /;
my %o = map { $_->{name} => $_ } @{ $status{srt}{outputs} };

tracks('srt', $status{srt}{sources}[0], fps => 25, hz => 48000);
tracks('srt to push', $o{push}, fps => 25, hz => 48000);
tracks('srt to players', $o{play}, fps => 25, hz => 48000);
is($o{push}{rtmp}{video_codec_id}, 7, 'H.264, to FLV');
is($o{push}{rtmp}{audio_codec_id}, 10, 'AAC, to FLV');
is($o{push}{rtmp}{dropped_frames}, 0, 'nothing was dropped');

my $s = $status{rtmp}{sources}[0];
tracks('rtmp', $s, fps => 30, hz => 44100);
is($s->{ts}, undef, 'rtmp: no transport stream');
is($s->{protocol} . ' ' . $s->{mode}, 'rtmp listener', 'rtmp: what it is');
is($s->{rtmp}{metadata}{width} . 'x' . $s->{rtmp}{metadata}{height}, '320x180',
   'rtmp: what the encoder says');
like($s->{rtmp}{metadata}{encoder}, qr/Lavf/, 'rtmp: and who it is');
cmp_ok($s->{rtmp}{chunk_size}, '>=', 128, 'rtmp: chunk size');
unlike($s->{url}, qr/rtmp_in/, 'rtmp: the stream is not shown');

for my $f (qw/ srt rtmp /) {
    is($status{$f}{health}, 'ok', "$f: health")
        or diag(explain($status{$f}{reasons}));
}

for my $f (sort keys %rate) {
    diag("$f: frame rates @{ $rate{$f} }, bitrates @{ $bitrate{$f} }");
}

# bits of the whole sample and of what the status said over its middle: a second
# of few groups of pictures is never just the mean

$feed->wait(30);
is($pub->wait(30), 0, 'published') or diag($pub->err);
wait_end($_) for qw/ srt rtmp /;

my $mean = 0;
$mean += $_ / @{ $bitrate{rtmp} } for @{ $bitrate{rtmp} };
my $media = media_rate($flv, 'video') + media_rate($flv, 'audio');
ok(abs($mean / $media - 1) < 0.05, 'rtmp: the bit rate is that of the media')
    or diag("$mean of $media");

sleep 1.5;
$chain->stop;

check('srt', $ts, %srt);
check('rtmp', $flv, %rtmp);
same_media($t, $flv, 'chain.ts', min => 100, tolerance => 1.1, name => 'pulled from a server');


# tracks

my $two = sample($t, 'two.ts', seconds => 6, programs => 2, %size,
                 audio => ['aac:deu', 'aac:fra']);
my $languages = sample($t, 'languages.ts', seconds => 6, %size,
                       audio => ['aac:deu', 'aac:fra']);
my $ac3 = sample($t, 'ac3.ts', seconds => 6, audio => ['ac3', 'mp2'], %size);
my $nothing = sample($t, 'nothing.ts', seconds => 6, video => 'mpeg2',
                     audio => 'mp2', %size);

# and SCTE-35 beside: a PID in the PMT that is no media

sub crc {
    my ($c) = 0xffffffff;

    for my $byte (unpack 'C*', $_[0]) {
        $c ^= $byte << 24;
        $c = $c & 0x80000000 ? ($c << 1 ^ 0x04c11db7) & 0xffffffff
                             : $c << 1 & 0xffffffff for 1 .. 8;
    }

    return pack 'N', $c;
}

my $sections = 0;

{
    my $bytes = $t->read_file($ac3);
    my ($out, $pmt, $cc, $every) = ('', undef, 0, 0);

    for (my $i = 0; $i + 188 <= length $bytes; $i += 188) {
        my $p = substr $bytes, $i, 188;
        my $pid = unpack('x n', $p) & 0x1fff;

        if ($pid == 0x1000) {

            # one payload, of one section

            my $len = unpack('x6 n', $p) & 0xfff;
            my $sec = substr $p, 5, 3 + $len - 4;
            $sec .= pack 'C n n', 0x86, 0xe000 | 0x1f0, 0xf000;
            substr $sec, 1, 2, pack 'n', 0xb000 | (length($sec) + 4 - 3);
            $p = substr($p, 0, 5) . $sec . crc($sec);
            $p .= "\xff" x (188 - length $p);
        }

        $out .= $p;

        if ($pid == 0x1000 && $every++ % 10 == 0) {
            my $sec = "\xfc\x30\x11\0\0\0\0\0\0\0\xff\xff\xf0\0\0\0\0";
            $sec .= crc($sec);
            my $d = pack('C n C C', 0x47, 0x4000 | 0x1f0, 0x10 | $cc++ & 15, 0)
                    . $sec;
            $out .= $d . "\xff" x (188 - length $d);
            $sections++;
        }
    }

    open my $fh, '>:raw', $t->dir . '/scte.ts';
    print $fh $out;
    close $fh;
}

connected($t, 'select', $_) for qw/ first program pids other /;
connected($t, 'language', $_) for qw/ fra pid none /;
connected($t, 'ac3', 'push');
connected($t, 'nothing', 'push');

my %udp = map {
    $_ => record($t, "udp://127.0.0.1:" . $t->port("${_}_udp"), "$_-udp.ts")
} qw/ ac3 nothing /;

my @feed = map {
    feed($t, $_->[1], "udp://127.0.0.1:" . $t->port("$_->[0]_in"))
} [select => $two], [language => $languages], [ac3 => 'scte.ts'], [nothing => $nothing];

$t->wait_for(sub {
    my $f = $t->flow('nothing');
    $f->{health} eq 'degraded' && grep { /nothing playable/ } @{ $f->{reasons} }
}, 10, 'nothing playable: health says so')
    or diag(explain($t->flow('nothing')->{reasons}));

$_->wait(20) for @feed;
sleep 2;
$_->stop for values %udp;

same_media($t, $two, $server->recorded($t, 'first'), min => 100,
           name => 'the first programme');
same_media($t, $two, $server->recorded($t, 'program'), min => 100,
           in_video => 1, in_audio => 1, name => 'program=2');
same_media($t, $two, $server->recorded($t, 'pids'), min => 100,
           in_video => 1, in_audio => 1, name => 'video=257 audio=259');
same_media($t, $languages, $server->recorded($t, $_), min => 100,
           in_audio => 1, name => "$_: the second language") for qw/ fra pid /;
same_media($t, $languages, $server->recorded($t, 'none'), min => 100,
           audio => 0, name => 'a language that is not there');

# 256 and 257 are pictures, 258 and 259 sound

same_media($t, $two, $server->recorded($t, 'other'), min => 100, video => 0,
           name => 'a picture that is none');

same_media($t, $ac3, $server->recorded($t, 'ac3'), min => 100, audio => 0,
           name => 'AC-3 and MP2 are left out');

# audio is two streams here: their bytes are compared

my $got = $t->read_file('ac3-udp.ts');
my $n = 0;

for (my $i = 0; $i + 188 <= length $got; $i += 188) {
    $n++ if (unpack('x n', substr $got, $i, 4) & 0x1fff) == 0x1f0;
}

is($n, $sections, 'SCTE-35 goes to packet outputs');
is(scalar(grep { $_->{type} eq 'audio' } packets($t, 'ac3-udp.ts')), 2,
   'and the sound');

my @e = grep { $_->{code} eq 'codec_unsupported' } $t->events('ac3');
my %by;
$by{"$_->{name}: $_->{message}"}++ for @e;
is(scalar(grep { $_ > 1 } values %by), 0, 'what is left out is told of once')
    or diag(explain(\@e));

# AC-3, MP2 and SCTE-35; those of one second are one event

my $told = 0;
$told += $_->{message} =~ /\((\d+) times\)/ ? $1 : 1 for @e;
is($told, 3, 'each of three') or diag(explain(\@e));
ok(scalar(@e), 'by codec_unsupported') or diag(explain([$t->events('ac3')]));
diag(map { "$_->{name}: $_->{message}\n" } @e,
     grep { $_->{code} eq 'codec_unsupported' } $t->events('nothing'));

is(-s $t->dir . '/recorded-nothing.flv', undef, 'nothing to play');
same_media($t, $nothing, 'nothing-udp.ts', min => 50,
           name => 'but packets pass');


# Operators choose.  Sources that are told apart: of the same encoder, so that
# what plays them decodes both.

my $a = sample($t, 'a.flv', seconds => 30, bframes => 2, %size,
               args => ['-vf', 'hue=h=40']);
my $b = sample($t, 'b.flv', seconds => 30, bframes => 2, %size,
               args => ['-vf', 'hue=h=160']);
my $bts = sample($t, 'c.ts', seconds => 24, bframes => 2, %size,
                 args => ['-vf', 'hue=h=90']);

my %of;

for my $file ($a, $b, $bts) {
    $of{$_->{hash}} = $file
        for map { @{ $_->{packets} } }
            grep { $_->{type} eq 'video' } packets($t, $file);
}

connected($t, 'two', 'push');
connected($t, 'two', 'push', 'backup');
connected($t, 'both', 'push');

my @udp = map { record($t, 'udp://127.0.0.1:' . $t->port($_), "$_.ts") }
          qw/ two_udp both_udp both_udp2 /;

my @pub = (publish($t, "$url/a", $a), publish($t, "$url/b", $b),
           publish($t, "$url/both", $b));
my $srtfeed = feed($t, $bts, 'srt://127.0.0.1:' . $t->port('both_in'));

connected($t, $_->[0], undef, $_->[1])
    for [two => 'primary'], [two => 'backup'], [both => 'primary'],
        [both => 'backup'];

my %players = (
    two => play($t, "$url/two", 'two-play.flv', tool => 'gst'),
    both => play($t, "$url/both_out", 'both-play.flv', tool => 'gst'),
);

for my $flow (qw/ two both /) {
    $t->wait_for(sub { @{ $t->output($flow, 'play')->{peers} } }, 10,
                 "$flow: a player");
}

sleep 2;

for my $choice (qw/ backup primary backup auto /) {
    for my $flow (qw/ two both /) {
        is($t->post("/flows/$flow/source/$choice")->{status}, 200,
           "$flow: $choice");
        is($t->flow($flow)->{active_source},
           $choice eq 'backup' ? 'backup' : 'primary', "$flow: is chosen");
    }

    sleep 2.5;
}

my %f = map { $_ => $t->flow($_) } qw/ two both /;

for my $flow (qw/ two both /) {
    is(join(' ', map { $_->{connections} } @{ $f{$flow}{sources} }), '1 1',
       "$flow: sources stay connected");

    for my $e (@{ $f{$flow}{outputs} }) {
        is("$e->{connections} $e->{disconnections} $e->{dropped_packets}",
           '1 0 0', "$flow: $e->{name} $e->{pipeline}: stays, whole");
    }
}

$_->stop for @pub, $srtfeed;
sleep 1;
$_->stop for values %players, @udp;

# from the switch on: a key frame of the other source, and times that go on

sub switched {
    my ($file, $what, $first, $second) = @_;

    my ($v) = grep { $_->{type} eq 'video' } packets($t, $file);
    my ($was, @parts, @wrong, $gap, $last) = ('');
    $gap = 0;

    for my $p (@{ $v ? $v->{packets} : [] }) {
        my $is = $of{$p->{hash} || ''} || 'unknown';

        if ($is ne $was) {
            push @parts, $is;
            push @wrong, "$is begins at $p->{dts} without a key frame"
                unless $p->{key} || $is eq 'unknown';
            $was = $is;
        }

        if (defined $last) {
            push @wrong, "from $last to $p->{dts}" if $p->{dts} <= $last;
            $gap = $p->{dts} - $last if $p->{dts} - $last > $gap;
        }

        $last = $p->{dts};
    }

    pop @parts if @parts && $parts[-1] eq 'unknown';    # cut off

    is(join(' ', @parts), join(' ', map { $_ % 2 ? $second : $first } 0 .. 4),
       "$what: is switched each time");
    is(join("\n", @wrong), '', "$what: by key frames, times go on");
    cmp_ok($gap, '<', 2.1, "$what: and soon");

    my ($exit, undef, $err) = $t->run(qw/ ffmpeg -v error -nostdin -i /, $file,
        qw/ -vsync passthrough -f null - /);

    is($err, '', "$what: decodes");
    diag(sprintf '%s: longest gap %.0f ms', $what, 1000 * $gap);
}

switched('two-play.flv', 'a player of two', $a, $b);
switched($server->recorded($t, 'two_a'), 'pushed by two', $a, $b);
switched('both-play.flv', 'a player of both', $bts, $b);
switched($server->recorded($t, 'both'), 'pushed by both', $bts, $b);
switched('two_udp.ts', 'UDP of two', $a, $b);

# the backup's destination had the backup but for the third choice

my %seen;
my ($v) = grep { $_->{type} eq 'video' }
          packets($t, $server->recorded($t, 'two_b'));
$seen{$of{$_->{hash} || ''} || 'unknown'}++ for @{ $v->{packets} };
cmp_ok($seen{$b} || 0, '>', 100, 'the backup pipeline has its own source');
cmp_ok($seen{$a} || 0, '>', 30, 'and the primary one when that is chosen');

$server->finish;
$t->finish;
done_testing();
