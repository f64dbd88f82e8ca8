#!/usr/bin/perl

# Real media from transport streams to RTMP and back, over every protocol: all
# frames, in order, at their times, with sound and picture as far apart as they
# were, for what encoders make: B-frames, open GOPs, slices, fields, other
# audio, audio or video alone, several programmes, a new size in mid-stream,
# timestamps that wrap.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;
use MC::Media qw/ sample convert feed record same_media wrap_offset /;
use MC::Rtmp qw/ publish play rtmp_server connected event /;

my $server = rtmp_server();


# name: protocol, sample, parameters of the output, options of the comparison

my @to_rtmp = (
    plain => 'srt', { bframes => 2 }, '', {},
    open_gop => 'udp', { bframes => 3, open_gop => 1 }, '', {},
    slices => 'rtp', { slices => 4 }, '', {},
    fields => 'udp', { interlaced => 1, bframes => 2 }, '', {},
    refresh => 'udp', { refresh => 1, cut => 0.125 }, '', { decode => 0 },
    mp3 => 'srt', { audio => 'mp3', hz => 44100 }, '', {},
    mono => 'rtp', { channels => 1, hz => 32000 }, '', {},
    audio => 'udp', { video => 'none' }, '', {},
    video => 'rtp', { audio => 'none' }, '', {},
    ac3 => 'srt', { audio => 'ac3' }, '', { audio => 0 },
    change => 'udp', { change => '320x240' }, '', {},
    wrap => 'udp', { bframes => 2, offset => wrap_offset(3) }, '', {},
    language => 'rtp', { audio => ['aac:deu', 'aac:eng'] }, 'audio=eng',
                { in_audio => 1 },
    program => 'srt', { programs => 2, audio => ['aac', 'mp3'] }, 'program=2',
               { in_audio => 1, in_video => 1 },
);

# name: protocols, sample, options

my @to_ts = (
    plain => 'srt udp rtp', { bframes => 2 }, {},
    open_gop => 'udp', { bframes => 3, open_gop => 1 }, {},
    slices => 'rtp', { slices => 4 }, {},
    fields => 'srt', { interlaced => 1, bframes => 2 }, {},
    mp3 => 'rtp', { audio => 'mp3', hz => 44100 }, {},
    mono => 'udp', { channels => 1, hz => 32000 }, {},
    audio => 'srt', { video => 'none' }, {},
    video => 'udp', { audio => 'none' }, {},
    change => 'rtp', { change => '320x240' }, {},
);

my (@in, @out, $flows);

while (my ($name, $protocol, $sample, $params, $options)
           = splice @to_rtmp, 0, 5)
{
    push @in, { name => $name, flow => "to-rtmp-$name", protocol => $protocol,
                sample => $sample, options => $options };

    my $host = $protocol eq 'srt' ? '' : '127.0.0.1';
    my $url = $server->rtmp_url($name);

    $flows .= <<"END";
mc_flow to-rtmp-$name {
    mc_source  $protocol://$host:%%in_$name%%;
    mc_output  push  $url  $params;
    mc_output  play  rtmp:///live/out-$name  $params;
}
END
}

while (my ($name, $protocols, $sample, $options) = splice @to_ts, 0, 4) {

    push @out, { name => $name, flow => "to-ts-$name", sample => $sample,
                 protocols => [split ' ', $protocols], options => $options };

    $flows .= "mc_flow to-ts-$name {\n    mc_source rtmp:///live/in-$name;\n";
    $flows .= "    mc_output $_ $_://" . ($_ eq 'srt' ? '' : '127.0.0.1')
        . ":%%${name}_$_%%;\n" for @{ $out[-1]{protocols} };
    $flows .= "}\n";
}

# HEVC, which these players do not know: to RTMP, to another flow, and back

$flows .= <<'END';
mc_flow hevc-1 {
    mc_source  udp://127.0.0.1:%%hevc_in%%;
    mc_output  push  rtmp://127.0.0.1:%%rtmp%%/live/hevc;
}
mc_flow hevc-2 {
    mc_source  rtmp:///live/hevc;
    mc_output  udp  udp://127.0.0.1:%%hevc_out%%;
}
END

my $t = MC->new(workers => 2, log => 'notice', flows => $flows,
                rtmp => 'server { listen 127.0.0.1:%%rtmp%%; chunk_size 4096;'
                        . ' application live { live on; } }');


# what goes in; the same media are one file

my %made;

sub made {
    my ($sample) = @_;

    my $key = join ' ', map {
        "$_ " . (ref $sample->{$_} ? "@{ $sample->{$_} }" : $sample->{$_})
    } sort keys %$sample;

    return $made{$key} ||= sample($t, 'in-' . keys(%made) . '.ts',
                                  seconds => 4, %$sample);
}

$_->{file} = made($_->{sample}) for @in, @out;

for my $o (@out) {
    next if $o->{name} eq 'change';    # ffmpeg tells of it from TS only

    (my $flv = $o->{file}) =~ s/ts$/flv/;
    convert($t, $o->{file}, $flv) unless -e $t->dir . "/$flv";
    $o->{file} = $flv;
}

my $hevc = sample($t, 'hevc.ts', seconds => 4, video => 'hevc', bframes => 2);


# transport streams in: pushed to a server that records, and played

my @tools = qw/ rtmpdump gst ffmpeg /;
my $n = 0;

for my $i (@in) {
    connected($t, $i->{flow}, 'push');

    next unless $i->{name} =~ /^(?:plain|open_gop|mp3|audio|video)$/;

    $i->{tool} = $tools[$n++ % 3];
    $i->{played} = "played-$i->{name}.flv";
    $i->{play} = play($t, "rtmp://127.0.0.1:%%rtmp%%/live/out-$i->{name}",
                      $i->{played}, tool => $i->{tool});
}

$_->{feed} = feed($t, $_->{file}, "$_->{protocol}://127.0.0.1:"
                  . $t->port("in_$_->{name}")) for @in;

my $hevc_out = record($t, 'udp://127.0.0.1:%%hevc_out%%', 'hevc-out.ts');
connected($t, 'hevc-1', 'push');
my $hevc_feed = feed($t, $hevc, 'udp://127.0.0.1:%%hevc_in%%');

# RTMP in, at the same time

for my $o (@out) {
    for my $protocol (@{ $o->{protocols} }) {
        my $url = "$protocol://127.0.0.1:" . $t->port("$o->{name}_$protocol");
        my $file = "out-$o->{name}-$protocol.ts";

        push @{ $o->{record} }, { process => record($t, $url, $file),
                                  file => $file, protocol => $protocol };
    }
}

for my $o (@out) {
    next unless grep { $_ eq 'srt' } @{ $o->{protocols} };

    $t->wait_for(sub { @{ $t->output($o->{flow}, 'srt')->{peers} } }, 10,
                 "$o->{name}: a receiver is there");
}

$_->{publish} = publish($t, "rtmp://127.0.0.1:%%rtmp%%/live/in-$_->{name}",
                        $_->{file}, audio_only => $_->{name} eq 'audio')
    for @out;


# what became of transport streams

$_->{feed}->wait(30) for @in;

# the server has it when nothing more comes

my ($size, $same) = (-1, 0);

$t->poll(sub {
    my $now = 0;
    $now += $server->recorded_size($_->{name}) for @in;

    $same = $now == $size ? $same + 1 : 0;
    $size = $now;
    $same >= 8
}, 15, 0.1);

$_->stop for map { $_->{play} || () } @in;

for my $i (@in) {
    my $file = $server->recorded($t, $i->{name});

    same_media($t, $i->{file}, $file, %{ $i->{options} }, min => 60,
               name => "$i->{name}: $i->{protocol} to a server");

    # a player that comes late begins at a picture that is no IDR: what that
    # one lets be forgotten was never there

    same_media($t, $i->{file}, $i->{played}, %{ $i->{options} }, min => 50,
               decode => $i->{name} eq 'open_gop'
                         ? qr/mmco: unref short failure/ : 1,
               name => "$i->{name}: $i->{protocol} to $i->{tool}")
        if $i->{played};

    is($t->source($i->{flow})->{ts}{continuity_errors}, 0,
       "$i->{name}: came whole");
}

event($t, 'to-rtmp-ac3', 'codec_unsupported', 1, 'AC-3 is told of');

$hevc_feed->wait(10);
$hevc_out->stop;
same_media($t, $hevc, 'hevc-out.ts', min => 60, name => 'HEVC there and back');


# and of RTMP

for my $o (@out) {
    my $p = $o->{publish};

    is($p->wait(30), 0, "$o->{name}: was published") or diag($p->err);
    is($p->err, '', "$o->{name}: without complaints");
}

# what is paced is still on its way

$t->poll(sub { 0 }, 1.5);

for my $o (@out) {
    for my $r (@{ $o->{record} }) {
        $r->{process}->stop;
        same_media($t, $o->{file}, $r->{file}, %{ $o->{options} }, min => 60,
                   name => "$o->{name}: RTMP to $r->{protocol}");
    }
}

$server->finish;
$t->finish;
done_testing();
