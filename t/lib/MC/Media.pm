package MC::Media;

=head1 NAME

MC::Media - samples of real media, and whether they came through whole

=head1 SYNOPSIS

    use MC::Media qw/ sample feed record same_media /;

    my $in = sample($t, 'in.ts', bframes => 2, audio => 'mp3');
    my $out = record($t, 'srt://127.0.0.1:%%out%%', 'out.ts');
    feed($t, $in, 'udp://127.0.0.1:%%in%%')->wait(20);
    $out->stop;
    same_media($t, $in, 'out.ts', name => 'UDP to SRT');

ffmpeg and ffprobe make the samples and read what came; files are named within
the test's prefix.  A frame is known by the hash of its bytes.

=cut

use strict;
use warnings;

use Carp qw/ croak /;
use Exporter qw/ import /;
use IO::Socket::IP;
use List::Util qw/ max min sum /;
use POSIX qw/ _exit /;
use Socket qw/ SOCK_DGRAM /;
use Test::More;
use Time::HiRes qw/ time sleep /;
use MC::Datagram qw/ rtp rtp_read /;

our @EXPORT_OK = qw/ sample packets same_media feed record convert join_ts
                     wrap_offset /;


=head2 sample(t, name, %options)

Encodes moving noise and tones, no two frames alike, and returns the name,
whose suffix is the container: ts, flv, mp4.  C<seconds> (6), C<fps> (25),
C<size> (640x360), C<rate> (800k), C<gop> in frames (25), C<bframes> (0),
C<slices> (1), C<open_gop>, C<interlaced> (MBAFF), C<refresh> (H.264 with intra
refresh, one IDR only), C<video>: h264, hevc, mpeg2 or none.  C<audio>: aac, mp3, mp2, ac3, none, or a list of "codec:language";
C<hz> (48000), C<channels> (2).  C<programs>: that many of one video and one
audio each, TS only.  C<change>: another size from the middle on, TS only.
C<cut>, the part of a TS file that is cut off at its beginning; C<offset>,
seconds added to all timestamps; C<args>, more of ffmpeg's output
options.

=head2 wrap_offset(seconds)

An C<offset> by which 33-bit timestamps wrap that long after the beginning.

=head2 join_ts(t, name, files...)

TS files one after the other.

=head2 convert(t, from, to, args...)

ffmpeg -c copy.

=cut

my %encoder = (aac => 'aac', mp3 => 'libmp3lame', mp2 => 'mp2', ac3 => 'ac3');

sub sample {
    my ($t, $name, %o) = @_;

    %o = (seconds => 6, fps => 25, size => '640x360', rate => '800k',
          gop => 25, bframes => 0, slices => 1, video => 'h264',
          audio => 'aac', hz => 48000, channels => 2, programs => 1, %o);

    return _changed($t, $name, %o) if $o{change};

    my @audio = ref $o{audio} ? @{ $o{audio} }
                              : $o{audio} eq 'none' ? () : $o{audio};
    my (@in, @map, @out);
    my ($v, $n) = ($o{video} eq 'none' ? 0 : 1, 0);

    if ($v) {
        push @in, '-f', 'lavfi', '-i',
            "testsrc2=size=$o{size}:rate=$o{fps},noise=alls=12:allf=t";
        push @map, ('-map', '0:v') x $o{programs};
        push @out, '-r', $o{fps}, '-pix_fmt', 'yuv420p', '-g', $o{gop},
            '-bf', $o{bframes}, '-b:v', $o{rate};
    }

    for my $i (0 .. max(scalar @audio, $o{programs}) - 1) {
        last unless @audio;

        my ($codec, $language) = split /:/, $audio[$i % @audio];

        push @in, '-f', 'lavfi', '-i',
            "aevalsrc='0.2*sin(2*PI*t*(400+@{[ 300 * $i ]}+40*t))"
            . "+0.05*(random($i)-0.5)':s=$o{hz}:c="
            . ($o{channels} == 1 ? 'mono' : 'stereo');
        push @map, '-map', ($v + $i) . ':a';
        push @out, "-c:a:$i", $encoder{$codec} || $codec;
        push @out, "-metadata:s:a:$i", "language=$language" if $language;
        $n++;
    }

    push @out, '-ac', $o{channels}, '-b:a', '96k' if $n;

    if ($o{video} eq 'h264') {
        my @x = ('scenecut=0', "slices=$o{slices}",
                 'open-gop=' . ($o{open_gop} ? 1 : 0));
        push @x, 'tff=1' if $o{interlaced};
        push @x, 'intra-refresh=1' if $o{refresh};
        push @x, 'b-adapt=0' if $o{bframes};
        push @x, 'b-pyramid=1' if $o{bframes} > 2;

        push @out, qw/ -c:v libx264 -preset ultrafast -threads 1 /,
            '-x264-params', join ':', @x;
        push @out, '-flags', '+ildct+ilme' if $o{interlaced};

    } elsif ($o{video} eq 'hevc') {
        push @out, qw/ -c:v libx265 -preset ultrafast -x265-params /,
            'log-level=none:scenecut=0:pools=1:frame-threads=1:open-gop='
            . ($o{open_gop} ? 1 : 0) . ":bframes=$o{bframes}"
            . ":keyint=$o{gop}";

    } elsif ($v) {
        push @out, '-c:v', $o{video} eq 'mpeg2' ? 'mpeg2video' : $o{video};
    }

    if ($o{programs} > 1) {
        push @out, map {
            ('-program', "program_num=$_:st=@{[ $_ - 1 ]}"
             . ($n ? ":st=@{[ $o{programs} + $_ - 1 ]}" : ''))
        } 1 .. $o{programs};
    }

    push @out, '-output_ts_offset', $o{offset} if $o{offset};

    # PES packets of single audio frames, or what a demuxer makes of the last
    # one depends on where the file was cut

    push @out, '-pes_payload_size', 0 if $name =~ /\.ts$/;

    _run($t, qw/ ffmpeg -v error -nostdin -y /, @in, @map, @out,
         '-t', $o{seconds}, @{ $o{args} || [] }, $name);

    if ($o{cut}) {
        my $ts = $t->read_file($name);

        open my $out, '>', $t->dir . "/$name" or croak "$name: $!";
        print $out substr $ts, 188 * int(length($ts) / 188 * $o{cut});
        close $out;
    }

    return $name;
}

# both parts have the one's audio: an encoder's delay would overlap

sub _changed {
    my ($t, $name, %o) = @_;

    my $half = $o{seconds} / 2;
    my $offset = delete $o{offset} || 0;
    my $size = delete $o{change};
    my @map = qw/ -map 0:v /;
    my @in = "$name.v.ts";

    join_ts($t, $in[0],
            sample($t, "$name.1.ts", %o, seconds => $half, audio => 'none'),
            sample($t, "$name.2.ts", %o, seconds => $half, audio => 'none',
                   offset => $half, size => $size));

    if (ref $o{audio} || $o{audio} ne 'none') {
        push @in, sample($t, "$name.a.ts", %o, video => 'none');
        push @map, qw/ -map 1:a /;
    }

    _run($t, qw/ ffmpeg -v error -nostdin -y /, (map { ('-i', $_) } @in),
         @map, qw/ -c copy -copyinkf -output_ts_offset /, $offset, $name);

    return $name;
}

sub wrap_offset { 2 ** 33 / 90000 - 1.4 - $_[0] }

sub join_ts {
    my ($t, $name, @files) = @_;

    open my $out, '>', $t->dir . "/$name" or croak "$name: $!";
    print $out $t->read_file($_) for @files;
    close $out;

    return $name;
}

sub convert {
    my ($t, $from, $to, @args) = @_;

    _run($t, qw/ ffmpeg -v error -nostdin -y -i /, $from,
         qw/ -map 0 -c copy /, @args, $to);

    return $to;
}

sub _run {
    my ($t, @cmd) = @_;

    my ($exit, $out, $err) = $t->run(@cmd);
    croak "@cmd: exit status $exit, $err" if $exit;

    return ($out, $err);
}


=head2 packets(t, file)

A list of streams: C<type>, C<codec>, C<language>, C<packets>, each with pts and
dts in seconds, key, size and hash.  Hashed is what all containers have alike:
H.264 and HEVC with start codes and without delimiters, parameter sets and
filler, AAC without ADTS.

=cut

my %units = (h264 => 'h264_mp4toannexb,filter_units=remove_types=7-9|12',
             hevc => 'hevc_mp4toannexb,filter_units=remove_types=32-35|38');

sub packets {
    my ($t, $file) = @_;

    my ($text) = _run($t, qw/ ffprobe -v error -show_entries /,
        'stream=index,codec_name,codec_type:stream_tags=language'
        . ':packet=stream_index,pts_time,dts_time,flags,size',
        '-show_packets', '-show_streams', '-of', 'compact', $file);

    my (%stream, %of);

    for (split /\n/, $text) {
        my %f = map { /^(?:tag:)?(\w+)=(.*)$/ ? ($1, $2) : () } split /\|/;

        if (/^packet\|/) {
            next unless defined $f{stream_index};

            push @{ $of{$f{stream_index}} }, {
                pts => $f{pts_time}, dts => $f{dts_time},
                key => ($f{flags} || '') =~ /K/ ? 1 : 0, size => $f{size},
            };

        } elsif (/^stream\|/ && ($f{codec_type} || '') =~ /^(video|audio)$/) {

            # those of a programme are named twice, and first without tags

            $stream{$f{index}} = {
                index => $f{index}, type => $f{codec_type},
                codec => $f{codec_name}, language => $f{language},
            };
        }
    }

    $_->{packets} = $of{$_->{index}} || [] for values %stream;

    my @streams = sort { $a->{index} <=> $b->{index} }
                  grep { @{ $_->{packets} } } values %stream;

    return () unless @streams;

    # the same once more, for the bytes: as they came, in the same order

    my @out;

    for my $i (0 .. $#streams) {
        my $s = $streams[$i];

        push @out, '-map', "0:$s->{index}";
        push @out, "-bsf:$i", $units{$s->{codec}} if $units{$s->{codec}};
        push @out, "-bsf:$i", 'aac_adtstoasc'
            if $s->{codec} eq 'aac' && $file =~ /\.ts$/;
    }

    my ($md5) = _run($t, qw/ ffmpeg -v fatal -nostdin -copyts -i /, $file,
        @out, qw/ -c copy -copyinkf -f framehash -hash md5 - /);

    my %next;

    for (grep { /^\d/ } split /\n/, $md5) {
        my @f = split /,\s*/;
        my $p = $streams[$f[0]]{packets}[$next{$f[0]}++] or next;
        $p->{hash} = substr $f[5], 0, 32;
    }

    for my $i (0 .. $#streams) {
        my $n = @{ $streams[$i]{packets} };

        diag("$file: $n packets of stream $i, but hashes of "
             . ($next{$i} || 0)) if $n != ($next{$i} || 0);
    }

    return @streams;
}


=head2 same_media(t, in, out, %options)

A test, of C<name>: each stream of "out" has frames of "in", in order, none
lost, doubled or changed between its first and last one; all timestamps differ
from those of "in" by the same within C<tolerance> ms (1), audio and video
alike; video begins with a key frame; ffmpeg decodes all without a word.  What
was cut off at the end of "out" is left out.

C<whole>: nothing may be missing at the beginning or the end; C<whole_end>, or
at the end.  C<in_video>, C<in_audio>: which of its kind in "in" is meant, from
0.  C<video>, C<audio>: 0 if "out" must not have it, 1 if it must (as "in" has).
C<min>, frames of each stream at least (20).  C<decode>, 0 for not, or a regex
of what ffmpeg may say.  C<jumps>: timestamps may have that many other
distances (0).

=cut

sub same_media {
    my ($t, $in, $out, %o) = @_;

    my @wrong = _compare($t, $in, $out, %o);

    splice @wrong, 12, @wrong - 12, '...' if @wrong > 13;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $out = 'nothing' unless defined $out;

    return ok(!@wrong, $o{name} || "$out is $in")
        || diag(join "\n", "$in to $out:", @wrong) && 0;
}

sub _compare {
    my ($t, $in, $out, %o) = @_;

    %o = (tolerance => 1, min => 20, jumps => 0, %o);

    return 'nothing was recorded' unless defined $out;
    return "$out is empty or missing" unless -s $t->dir . "/$out";

    my @in = eval { packets($t, $in) } or return "$in: nothing in it $@";
    my @out = eval { packets($t, $out) } or return "$out: nothing in it $@";

    my (@wrong, @diff);

    for my $type (qw/ video audio /) {
        my @i = grep { $_->{type} eq $type } @in;
        my @o = grep { $_->{type} eq $type } @out;
        my $i = $i[$o{"in_$type"} || 0];
        my $want = exists $o{$type} ? $o{$type} : $i ? 1 : 0;

        push @wrong, "@{[ scalar @o ]} streams of $type" if @o != $want;
        next unless @o && $i && $want;

        push @wrong, "$type is $o[0]{codec}, not $i->{codec}"
            if $o[0]{codec} ne $i->{codec};

        my ($pairs, @w) = _align($i->{packets}, $o[0]{packets}, %o);

        push @wrong, map { "$type: $_" } @w;

        push @wrong, "$type: begins without a key frame"
            if $type eq 'video' && !$o[0]{packets}[0]{key};

        for my $p (@$pairs) {
            for my $ts (qw/ pts dts /) {
                my ($x, $y) = map { $_->{$ts} } @$p;

                if (grep { !defined $_ || $_ eq 'N/A' } $x, $y) {
                    push @wrong, "$type: a frame without $ts";
                    next;
                }

                push @diff, [($y - $x) * 1000, $type, $ts, $x, $y];
            }
        }
    }

    push @wrong, _distances(\@diff, %o);

    if (!exists $o{decode} || $o{decode}) {
        my ($exit, undef, $err) = $t->run(
            qw/ ffmpeg -v error -nostdin -i /, $out,
            qw/ -vsync passthrough -f null - /);

        my @lines = split /\n/, $err;
        @lines = grep { $_ !~ $o{decode} } @lines if ref $o{decode};

        push @wrong, "decoding: exit status $exit" if $exit;
        push @wrong, map { "decoding: $_" } @lines;
    }

    return @wrong;
}

# [packet of in, packet of out] of frames that are the same, and what is not
# in order

sub _align {
    my ($in, $out, %o) = @_;

    my @in = map { $_->{hash} || 'none' } @$in;
    my @out = map { $_->{hash} || 'no hash' } @$out;

    # a recorder was stopped anywhere in it

    pop @out unless $o{whole} || $o{whole_end};

    my (%at, @wrong);
    push @{ $at{$in[$_]} }, $_ for 0 .. $#in;

    return ([], 'none of its frames is of the input')
        unless grep { $at{$_} } @out;

    # where the first one is, if there are more of them

    my ($first, $best) = (undef, -1);

    for my $i (@{ $at{$out[0]} || [] }) {
        my $n = 0;
        $n++ while $n < @out && $i + $n < @in && $in[$i + $n] eq $out[$n];
        ($first, $best) = ($i, $n) if $n > $best;
    }

    my $i = defined $first ? $first : 0;

    push @wrong, 'the first frame is not of the input' unless defined $first;
    push @wrong, "$i frames are missing at the beginning"
        if $o{whole} && defined $first && $i;

    my @pairs;

    for my $k (0 .. $#out) {
        if ($i < @in && $in[$i] eq $out[$k]) {
            push @pairs, [$in->[$i++], $out->[$k]];
            next;
        }

        my $where = "frame $k (dts $out->[$k]{dts})";
        my ($next) = grep { $_ >= $i } @{ $at{$out[$k]} || [] };

        if (defined $next) {
            push @wrong, ($next - $i) . " lost before $where"
                if defined $first || @pairs;
            push @pairs, [$in->[$next], $out->[$k]];
            $i = $next + 1;

        } elsif ($at{$out[$k]}) {
            push @wrong, "$where is doubled or late";

        } else {
            push @wrong, "$where is changed";
            $i++;
        }
    }

    push @wrong, (@in - $i) . ' frames are missing at the end'
        if ($o{whole} || $o{whole_end}) && $i < @in;

    push @wrong, "only @{[ scalar @pairs ]} frames" if @pairs < $o{min};

    return (\@pairs, @wrong);
}

sub _distances {
    my ($diff, %o) = @_;

    return () unless @$diff;

    my @sorted = sort { $a->[0] <=> $b->[0] } @$diff;
    my ($low, $high) = @sorted[0, -1];

    # what ffprobe shows is rounded to microseconds

    return () if $high->[0] - $low->[0] <= $o{tolerance} + 0.002;

    if ($o{jumps}) {
        my $n = 0;

        for (1 .. $#sorted) {
            $n++ if $sorted[$_][0] - $sorted[$_ - 1][0] > $o{tolerance};
        }

        return () if $n <= $o{jumps};
    }

    my %mean;
    push @{ $mean{"$_->[1] $_->[2]"} }, $_->[0] for @$diff;

    return sprintf('timestamps: %s %s of %.6f became %.6f,'
                   . ' but %s %s of %.6f became %.6f:'
                   . ' %.3f ms more', @$high[1 .. 4], @$low[1 .. 4],
                   $high->[0] - $low->[0]),
           map { sprintf '%s: %.3f to %.3f, on average %.3f ms later', $_,
                 min(@{ $mean{$_} }), max(@{ $mean{$_} }),
                 sum(@{ $mean{$_} }) / @{ $mean{$_} } } sort keys %mean;
}


=head2 feed(t, file, url, %options)

Sends a TS file as it is, byte for byte, in its own time by PCR, to udp://,
rtp:// or, with srt-live-transmit, srt://.  An MC::Process; C<json> has
C<packets>.  C<speed> (1), C<loop> times (1), C<linger> seconds until SRT is
closed (1).

=cut

sub feed {
    my ($t, $file, $url, %o) = @_;

    %o = (speed => 1, loop => 1, linger => 1, %o);
    $url = $t->expand($url);

    return $t->background('feed', sub { _feed($t, $file, $url, $_[0], %o) });
}

sub _feed {
    my ($t, $file, $url, $ended, %o) = @_;

    my ($scheme, $host, $port) = $url =~ m!^(\w+)://\[?([^\]/?]*)\]?:(\d+)!
        or croak "what is $url";
    my ($send, $pipe, $pid);

    if ($scheme eq 'srt') {
        pipe my $stdin, $pipe or croak "pipe: $!";

        $pid = fork();
        croak "fork: $!" unless defined $pid;

        if ($pid == 0) {
            open STDIN, '<&', $stdin;
            close $pipe;
            { no warnings; exec 'timeout', '-k', 3, 120, 'srt-live-transmit',
                  '-q', '-chunk:1316', 'file://con', $url; }
            _exit(127);
        }

        close $stdin;
        $SIG{PIPE} = 'IGNORE';

        # it keeps what does not fill a message: null packets do

        my $null = pack 'CnCa184', 0x47, 0x1fff, 0x10, "\xff" x 184;

        $send = sub {
            syswrite $pipe, $_[0] . $null x (7 - length($_[0]) / 188);
        };

    } else {
        my $socket = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port,
                                         Type => SOCK_DGRAM) or croak "$@";
        my ($seq, $ssrc) = (int rand 65536, int rand 2 ** 32);

        $send = $scheme eq 'udp' ? sub { $socket->send($_[0]) } : sub {
            $socket->send(pack 'CCnNNa*', 0x80, 33, $seq++ & 0xffff,
                          $_[1] * 90000 % 2 ** 32, $ssrc, $_[0]);
        };
    }

    my @groups = _by_pcr($t->read_file($file));
    my ($packets, $start) = (0, time());

    for my $round (1 .. $o{loop}) {
        for my $g (@groups) {
            my ($at, $data) = @$g;
            my $wait = $start + $at / $o{speed} - time();

            sleep $wait if $wait > 0.001;
            last if $ended->();

            $send->($data, $at);
            $packets += length($data) / 188;
        }

        $start += $groups[-1][0] / $o{speed};
    }

    if ($pipe) {

        # at the end of its input it sends what it has, but does not end

        close $pipe;

        my $end = time() + $o{linger};
        sleep 0.05 while time() < $end && !$ended->();

        kill 'TERM', $pid;
        waitpid $pid, 0;
    }

    return { packets => $packets };
}

# datagrams of seven packets, each with its time in seconds

sub _by_pcr {
    my ($ts) = @_;

    my $n = int(length($ts) / 188);
    my (@pcr, $pid, $last);

    for my $i (0 .. $n - 1) {
        my ($sync, $p, $flags, $len, $af, $base, $low)
            = unpack 'CnCCCNn', substr $ts, $i * 188, 14;

        next unless $flags & 0x20 && $len >= 7 && $af & 0x10;
        $pid = $p & 0x1fff unless defined $pid;
        next if ($p & 0x1fff) != $pid;

        my $pcr = ($base * 2 + ($low >> 15)) / 90000;

        # it wraps; and any other jump takes no time

        my $d = defined $last ? $pcr - $last : 0;
        $d += 2 ** 33 / 90000 if $d < -2 ** 32 / 90000;
        $d = 0 if $d < 0 || $d > 5;

        push @pcr, [$i, (@pcr ? $pcr[-1][1] : 0) + $d];
        $last = $pcr;
    }

    croak 'no PCR' unless @pcr > 1;

    my ($k, @groups) = (0);

    for (my $i = 0; $i < $n; $i += 7) {
        $k++ while $k < $#pcr - 1 && $pcr[$k + 1][0] <= $i;

        my ($a, $b) = @pcr[$k, $k + 1];
        my $at = $a->[1] + ($b->[1] - $a->[1]) * ($i - $a->[0])
                           / ($b->[0] - $a->[0]);

        push @groups, [max($at, 0), substr $ts, $i * 188, 7 * 188];
    }

    return @groups;
}


=head2 record(t, url, file, %options)

Writes what comes to a file, until it is stopped: from udp:// and rtp:// as it
is, from srt:// by srt-live-transmit, or with C<< tool => 'ffmpeg' >> remuxed.
An MC::Process that is ready.

=cut

sub record {
    my ($t, $url, $file, %o) = @_;

    $url = $t->expand($url);

    my $tool = $o{tool} || ($url =~ /^srt:/ ? 'slt' : 'socket');

    if ($tool eq 'ffmpeg') {
        return $t->spawn('record', qw/ ffmpeg -v error -nostdin -y -copyts /,
                         '-i', $url, qw/ -map 0 -c copy -copyinkf /, $file);
    }

    if ($tool eq 'slt') {
        return $t->spawn('record', 'sh', '-c',
                         'exec srt-live-transmit -q "$1" file://con >"$2"',
                         'sh', $url, $file);
    }

    my ($scheme, $host, $port) = $url =~ m!^(\w+)://\[?([^\]/?]*)\]?:(\d+)!;
    my $in = MC::Datagram->new(addr => $host || '127.0.0.1', port => $port);

    my $p = $t->background('record', sub {
        my ($ended) = @_;
        my $n = 0;

        open my $fh, '>:raw', $file or croak "$file: $!";

        until ($ended->()) {
            my $d = $in->recv(0.2);
            next unless defined $d && length $d;

            print $fh $scheme eq 'rtp' ? _payload($d) : $d;
            $fh->flush;
            $n++;
        }

        close $fh;

        return { datagrams => $n };
    });

    close $in->socket;

    return $p;
}

sub _payload {
    my ($d) = @_;

    my ($first) = unpack 'C', $d;
    my $header = 12 + 4 * ($first & 15);

    $header += 4 + 4 * unpack 'x' . ($header + 2) . 'n', $d if $first & 16;

    return substr $d, $header;
}


1;
