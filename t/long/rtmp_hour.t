#!/usr/bin/perl

# An hour of stream time, as fast as it goes: sound and picture are as far apart
# at the end as at the beginning, from RTMP to SRT and UDP and from SRT to RTMP,
# with the 33 bits of MPEG's timestamps running over inside of it, and nothing
# is lost.  MC_MINUTES makes it shorter, MC_SPEED (30) faster.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use List::Util qw/ max min sum /;
use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;
use MC::Media qw/ feed record wrap_offset /;
use MC::Rtmp qw/ publish play rtmp_server connected live /;

my $minutes = $ENV{MC_MINUTES} || 60;
my $speed = $ENV{MC_SPEED} || 30;
my $seconds = 60 * $minutes;
my $limit = $seconds / $speed * 3 + 300;

my $server = rtmp_server();

my $t = MC->new(workers => 2, limit => $limit, flows => <<"END",
mc_flow down {
    mc_source  rtmp:///live/in;
    mc_output  srt  srt://:%%srt%%;
    mc_output  udp  udp://127.0.0.1:%%udp%%  pace=off;
}
mc_flow up {
    mc_source  srt://:%%in%%;
    mc_output  push  @{[ $server->rtmp_url('pushed') ]};
    mc_output  play  rtmp:///live/out;
}
END
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%; chunk_size 4096;'
            . ' application live { live on; } }');


# pictures and sounds that cost little: what is checked are their times

sub make {
    my ($name, @args) = @_;

    my ($exit, undef, $err) = $t->run(qw/ ffmpeg -v error -nostdin -y /,
        qw/ -f lavfi -i testsrc2=size=96x64:rate=25 /,
        qw/ -f lavfi -i /, 'sine=frequency=440:sample_rate=48000',
        qw/ -map 0 -map 1 -c:v libx264 -preset ultrafast -g 50 -bf 2 /,
        '-x264-params', 'scenecut=0:b-adapt=0',
        qw/ -crf 45 -pix_fmt yuv420p -c:a aac -ac 1 -b:a 24k /,
        @args, '-t', $seconds, $name);

    is($exit, 0, "$name is made") or diag($err);

    return $name;
}

my $flv = make('in.flv');
my $ts = make('in.ts', '-pes_payload_size', 0, '-output_ts_offset',
              wrap_offset($seconds / 2));

# times of each frame, in order, with wraps undone

sub read_times {
    my ($file) = @_;

    my ($exit, $out, $err) = $t->run('ffprobe', qw/ -v error
        -correct_ts_overflow 0 -of compact=p=0 -show_entries /,
        'packet=codec_type,dts_time', $file);

    my (%times, %last, %wraps);
    my ($wraps, $wrap) = (0, 2 ** 33 / 90000);

    while ($out =~ /codec_type=(\w+)\|dts_time=(-?[\d.]+)/g) {
        my ($type, $at) = ($1, $2);

        $wraps{$type} ||= 0;

        if (defined $last{$type}
            && $at + $wraps{$type} * $wrap < $last{$type} - $wrap / 2)
        {
            $wraps{$type}++;
            $wraps++;
        }

        $at += $wraps{$type} * $wrap;
        $last{$type} = $at;
        push @{ $times{$type} }, $at;
    }

    return (\%times, $wraps);
}

my %in = map { $_ => [read_times($_)] } $flv, $ts;

is($in{$ts}[1], 2, 'the timestamps of both tracks wrap');

# what began later than "in" is compared from the end

sub check {
    my ($name, $in, $file) = @_;

    my ($times, $wraps) = read_times($file);
    my %off;

    is($wraps, 2, "$name: times wrap") if $file =~ /\.ts$/;

    for my $type (qw/ video audio /) {
        my @in = @{ $in{$in}[0]{$type} };
        my @out = @{ $times->{$type} || [] };

        cmp_ok(scalar @out, '>=', 0.98 * @in, "$name: $type is there")
            or return;

        # frames are alike from one to the next: one that is missing shows as a
        # distance of two

        my $step = $type eq 'video' ? 0.04 : 1024 / 48000;
        my @gaps = grep { abs($out[$_] - $out[$_ - 1] - $step) > 0.003 }
                   1 .. $#out;

        is(scalar @gaps, 0, "$name: $type: not one is missing")
            or diag(join ' ', map { "$out[$_ - 1]-$out[$_]" }
                              @gaps > 8 ? @gaps[0 .. 7] : @gaps);

        # frame by frame, from the first that came

        my $n = min(scalar @in, scalar @out);
        $off{$type} = [map { $out[$_] - $in[$_ + @in - @out] }
                       max(0, @out - @in) .. $#out] if @out <= @in;
        $off{$type} ||= [map { $out[$_] - $in[$_] } 0 .. $n - 1];

        diag(sprintf '%s: %s: %d of %d', $name, $type, scalar @out, scalar @in);
    }

    # how far apart they are, in parts of a tenth

    my ($v, $a) = @off{qw/ video audio /};
    my @apart = map {
        my $i = $_;
        my @part = map {
            my @list = @$_;
            my $k = @list / 10;
            [@list[$i * $k .. ($i + 1) * $k - 1]]
        } $v, $a;

        1000 * (sum(@{ $part[0] }) / @{ $part[0] }
                - sum(@{ $part[1] }) / @{ $part[1] })
    } 0 .. 9;

    my @drift = map { $_ - $apart[0] } @apart;

    diag("$name: apart, ms: " . join ' ', map { sprintf '%.3f', $_ } @drift);
    cmp_ok(max(map { abs } @drift), '<=', 1, "$name: they stay together");
}


# RTMP to SRT and UDP

my $srt = record($t, 'srt://127.0.0.1:' . $t->port('srt'), 'srt.ts');
my $udp = record($t, 'udp://127.0.0.1:%%udp%%', 'udp.ts');

$t->wait_for(sub { @{ $t->output('down', 'srt')->{peers} } }, 10, 'a receiver');

my $began = time();
my $rss = $t->rss;
my $pub = publish($t, 'rtmp://127.0.0.1:%%rtmp%%/live/in', $flv,
                  speed => $speed,
                  args => ['-output_ts_offset', wrap_offset($seconds / 2)]);

is($pub->wait($limit), 0, 'RTMP: published') or diag($pub->err);
$t->poll(sub { $t->source('down')->{state} ne 'connected' }, 10);
sleep 2;
$_->stop for $srt, $udp;

diag(sprintf 'in %.0f s; workers %d KiB, %d KiB before', time() - $began,
     $t->rss, $rss);

for my $o ('srt', 'udp') {
    is($t->output('down', $o)->{dropped_packets}, 0, "$o: nothing was dropped");
}

check('RTMP to SRT', $flv, 'srt.ts');
check('RTMP to UDP', $flv, 'udp.ts');


# SRT to RTMP

connected($t, 'up', 'push');

my $play = play($t, 'rtmp://127.0.0.1:%%rtmp%%/live/out', 'play.flv',
                tool => 'gst');
$t->wait_for(sub { @{ $t->output('up', 'play')->{peers} } }, 10, 'a player');

$began = time();
my $feed = feed($t, $ts, 'srt://127.0.0.1:' . $t->port('in'),
                speed => $speed);

is(defined $feed->wait($limit), 1, 'SRT: fed');
$t->poll(sub { $t->source('up')->{state} ne 'connected' }, 10);
sleep 2;
$play->stop;

diag(sprintf 'in %.0f s; workers %d KiB', time() - $began, $t->rss);

is($t->output('up', $_)->{dropped_packets}, 0, "$_: nothing was dropped")
    for qw/ push play /;
is($t->source('up')->{ts}{continuity_errors}, 0, 'SRT came whole');

check('SRT to a server', $ts, $server->recorded($t, 'pushed'));
check('SRT to a player', $ts, 'play.flv');

$server->finish;
$t->finish;
done_testing();
