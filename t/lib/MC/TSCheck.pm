package MC::TSCheck;

=head1 NAME

MC::TSCheck - transport streams of one programme, judged by code of their own

=head1 SYNOPSIS

    use MC::TSCheck qw/ capture captured check jitter peak /;

    my $c = capture($t, 'udp://127.0.0.1:%%out%%', 'out.cap');
    ...
    $c->stop;
    my $d = captured($t->dir . '/out.cap');
    my $r = check([map { $_->[1] } @$d], rate => 4e6);
    is("@{ $r->{wrong} }", '', 'a good stream');

=cut

use strict;
use warnings;

use Carp qw/ croak /;
use Exporter qw/ import /;
use IO::Socket::IP;
use List::Util qw/ max min first /;
use Socket qw/ SOCK_DGRAM SOL_SOCKET SO_RCVBUF /;

our @EXPORT_OK = qw/ capture captured check jitter peak /;

# SIOCGSTAMPNS: when the kernel had the datagram that was read last

use constant STAMP => 0x8907;
use constant WRAP => 300 * 2 ** 33;


=head2 capture(t, url, file)

An MC::Process that writes datagrams of udp:// or rtp:// with the times of
their arrival, RTP without its header, until it is stopped.

=cut

sub capture {
    my ($t, $url, $file) = @_;

    my ($scheme, $host, $port) = $t->expand($url) =~ m!^(\w+)://(.*):(\d+)$!;

    my $in = IO::Socket::IP->new(LocalHost => $host, LocalPort => $port,
                                 Type => SOCK_DGRAM)
        or croak "$url: $@";

    $in->setsockopt(SOL_SOCKET, SO_RCVBUF, 4 << 20);

    my $stamp = pack 'q2';
    ioctl $in, STAMP, $stamp;    # from now on

    my $p = $t->background('capture', sub {
        my ($ended) = @_;
        my $n = 0;

        open my $fh, '>:raw', $file or croak "$file: $!";

        until ($ended->()) {
            my $bits = '';
            vec($bits, fileno $in, 1) = 1;
            next unless select($bits, undef, undef, 0.2) > 0;

            defined $in->recv(my $d, 65536) or next;
            ioctl $in, STAMP, $stamp or croak "no time: $!";

            my ($s, $ns) = unpack 'q2', $stamp;

            if ($scheme eq 'rtp') {
                $d = substr $d, 12 + 4 * (ord($d) & 15);
            }

            print $fh pack 'q n a*', $s * 1_000_000 + int($ns / 1000),
                length $d, $d;
            $n++;
        }

        close $fh;

        return { datagrams => $n };
    });

    close $in;

    return $p;
}


=head2 captured(path)

A list of [time of arrival in us, datagram].

=cut

sub captured {
    my ($path) = @_;

    open my $fh, '<:raw', $path or croak "$path: $!";

    my @all;

    while (10 == read $fh, my $head, 10) {
        my ($at, $len) = unpack 'q n', $head;
        my $d;
        last if $len != read $fh, $d, $len;
        push @all, [$at, $d];
    }

    return \@all;
}


=head2 check(datagrams, %options)

What is wrong with a stream, given as a list of datagrams or of TS packets
(C<wrong>, a list of texts, 20 at most), and what it is like: C<packets>,
C<nulls>, C<pids>, C<pcrs>: [byte position, 27 MHz without wraps, discontinuity,
number of the datagram], C<gap>: most ms between two PCRs, C<psi>: the same of
PAT and PMT, C<accuracy>: ns by which a PCR is most off its place with a
constant C<rate>, C<units>: of each PID, [DTS, PTS, frames, key], C<lead>: of
each PID, least and most ms between the last byte and the DTS.

Judged are continuity counters, CRC, PES lengths, delimiters and parameter sets,
DTS against PCR, DTS that go back, PSI at most 150 ms apart, PCRs at most
C<pcr> ms apart (40) and, with C<rate>, to 500 ns.  C<flv>, the path of what
was published: all its frames are there with their bytes, at their times but
for a constant.  C<media>: a list of times, 27 MHz, of the datagrams.

=cut

sub check {
    my ($datagrams, %o) = @_;

    my %r = (wrong => [], packets => 0, nulls => 0, pids => {}, pcrs => []);
    my $wrong = sub {
        push @{ $r{wrong} }, sprintf shift, @_ if @{ $r{wrong} } < 20;
    };

    my (%cc, %pes, %psi, $pmt, $last);
    my $pos = 0;

    for my $i (0 .. $#$datagrams) {
        my $d = $datagrams->[$i];

        $wrong->('datagram %d has %d bytes', $i, length $d)
            if length($d) % 188;

        for (my $at = 0; $at + 188 <= length $d; $at += 188, $pos += 188) {
            my ($sync, $word, $flags) = unpack 'C n C', substr $d, $at, 4;
            my $pid = $word & 0x1fff;

            $wrong->('no sync at %d', $pos) if $sync != 0x47;

            $r{packets}++;

            if ($pid == 0x1fff) {
                $r{nulls}++;
                next;
            }

            $r{pids}{$pid}++;

            my $cc = $flags & 15;
            my $payload = $flags & 16;

            $wrong->('continuity of %x at %d', $pid, $pos)
                if defined $cc{$pid}
                   && $cc != ($payload ? $cc{$pid} + 1 & 15 : $cc{$pid});

            $cc{$pid} = $cc;

            my ($skip, $key) = (4, 0);

            if ($flags & 32) {
                my ($len, $af) = unpack 'C2', substr $d, $at + 4, 2;

                $skip = 5 + $len;
                $key = $len && $af & 0x40;

                $wrong->('adaptation field at %d', $pos)
                    if $skip > 188 || (!$payload && $skip != 188);

                if ($len && $af & 0x10) {
                    my ($base, $ext) = unpack 'N n', substr $d, $at + 6, 6;
                    my $v = ($base * 2 + ($ext >> 15)) * 300 + ($ext & 511);

                    if ($last) {
                        my $diff = ($v - $last->[3]) % WRAP;
                        $diff -= WRAP if $diff > WRAP / 2;
                        $last = [$pos + 10, $last->[1] + $diff, $af & 0x80,
                                 $v, $i];

                    } else {
                        $last = [$pos + 10, $v, $af & 0x80, $v, $i];
                    }

                    push @{ $r{pcrs} }, [@$last[0 .. 2], $i, $pid];
                }
            }

            next unless $payload;

            my $body = substr $d, $at + $skip, 188 - $skip;

            if ($pid == 0 || $pid == 0x1000) {
                my $s = substr $body, 1 + ord $body;
                my $len = 3 + (unpack('x n', $s) & 0xfff);

                $wrong->('CRC at %d', $pos) if _crc(substr $s, 0, $len);

                push @{ $psi{$pid} }, $pos;
                $pmt = substr $s, 0, $len if $pid;
                next;
            }

            push @{ $pes{$pid} }, [$pos, '', 0, $key] if $word & 0x4000;

            if (!$pes{$pid}) {
                $wrong->('no start of %x', $pid) unless $o{cut};
                next;
            }

            $pes{$pid}[-1][1] .= $body;
            $pes{$pid}[-1][2] = $pos + 188;
        }
    }

    my $pcrs = $r{pcrs};

    if (@$pcrs < 2) {
        $wrong->('%d PCRs', scalar @$pcrs);
        return \%r;
    }

    # what is cut off at the end is no PES packet

    pop @{ $pes{$_} } for grep { $o{cut} } keys %pes;

    _clock(\%r, $wrong, %o);

    my $clock = _interpolate($pcrs);

    for my $pid (0, 0x1000) {
        my @at = map { $clock->($_) / 27000 } @{ $psi{$pid} || [] };
        my $most = max(0, map { $at[$_] - $at[$_ - 1] } 1 .. $#at);

        $r{psi} = max($r{psi} || 0, $most);
        $wrong->('%.1f ms without PID %x', $most, $pid) if $most > 150;
        $wrong->('no PID %x', $pid) unless @at;
    }

    _units(\%r, $_, $pes{$_}, $pmt || '', $clock, $wrong) for sort keys %pes;

    _flv(\%r, $o{flv}, $pmt, $wrong) if $o{flv};

    if ($o{media}) {
        my ($at, @at) = (0);

        for my $d (@$datagrams) {
            push @at, $at;
            $at += length $d;
        }

        # of datagrams that begin with one

        for my $p (grep { $at[$_->[3]] + 10 == $_->[0] } @$pcrs) {
            my $diff = ($p->[1] - $o{media}[$p->[3]]) % WRAP;
            $diff -= WRAP if $diff > WRAP / 2;
            $wrong->('media time is off by %d us', $diff / 27)
                if abs $diff > 27000;
        }
    }

    return \%r;
}

sub _clock {
    my ($r, $wrong, %o) = @_;

    my $pcrs = $r->{pcrs};
    my $limit = $o{pcr} || 40;

    # what a discontinuity begins is measured by itself

    my $first = $pcrs->[0];
    my ($gap, $accuracy) = (0, 0);

    for my $i (1 .. $#$pcrs) {
        my ($p, $q) = @$pcrs[$i - 1, $i];

        if ($q->[2]) {
            $first = $q;
            next;
        }

        my $ms = ($q->[1] - $p->[1]) / 27000;

        $wrong->('PCR back by %.3f ms', -$ms) if $ms <= 0;
        $gap = max($gap, $ms);

        next unless $o{rate};

        my $off = ($q->[1] - $first->[1]) * 1000 / 27
                  - ($q->[0] - $first->[0]) * 8e9 / $o{rate};
        $accuracy = max($accuracy, abs $off);
    }

    @$r{qw/ gap accuracy /} = ($gap, $accuracy);

    $wrong->('PCRs %.2f ms apart', $gap) if $gap > $limit;
    $wrong->('a PCR is off by %.0f ns', $accuracy) if $accuracy > 500;
}

# time, 27 MHz, of a byte

sub _interpolate {
    my ($pcrs) = @_;

    my $i = 0;

    return sub {
        my ($pos) = @_;

        $i = 0 if $pos < $pcrs->[$i][0];
        $i++ while $i < $#$pcrs - 1 && $pcrs->[$i + 1][0] <= $pos;

        my ($p, $q) = @$pcrs[$i, $i + 1];

        return $p->[1] + ($q->[1] - $p->[1]) * ($pos - $p->[0])
                         / ($q->[0] - $p->[0]);
    };
}

sub _stamp {
    my ($b) = @_;
    my @b = unpack 'C5', $b;

    return ($b[0] >> 1 & 7) * 2 ** 30 + ($b[1] << 22 | $b[2] >> 1 << 15
                                         | $b[3] << 7 | $b[4] >> 1);
}

sub _nals {
    return map { s/\0+\z//r } grep { length }
           split /\0\0\0?\x01/, $_[0];
}

my %is_set = (h264 => { 9 => 0, 7 => 1, 8 => 1 },
              hevc => { 35 => 0, 32 => 1, 33 => 1, 34 => 1 });

sub _codec { ($_[0] || '') =~ /HEVC/ ? 'hevc' : 'h264' }

sub _type {
    my ($codec, $nal) = @_;
    return $codec eq 'hevc' ? ord($nal) >> 1 & 63 : ord($nal) & 31;
}

sub _units {
    my ($r, $pid, $list, $pmt, $clock, $wrong) = @_;

    my $codec = _codec($pmt);
    my ($before, $units) = (undef, $r->{units}{$pid} = []);

    for my $p (@$list) {
        my ($at, $b, $end, $key) = @$p;

        if (substr($b, 0, 3) ne "\0\0\1") {
            $wrong->('PES of %x at %d', $pid, $at);
            next;
        }

        my ($len, $f1, $f2, $skip) = unpack 'x4 n C3', $b;

        $wrong->('PES length of %x at %d', $pid, $at)
            if $len && $len != length($b) - 6;
        $wrong->('PES of %x at %d is not aligned', $pid, $at)
            unless $f1 & 4;

        my $pts = $f2 & 0x80 ? _stamp(substr $b, 9, 5) : undef;
        my $dts = $f2 & 0x40 ? _stamp(substr $b, 14, 5) : $pts;

        if (!defined $dts) {
            $wrong->('PES of %x at %d without time', $pid, $at);
            next;
        }

        my $lead = ($dts * 300 - $clock->($end - 178)) % WRAP;
        $lead -= WRAP if $lead > WRAP / 2;
        $lead /= 27000;

        $wrong->('%x at %d is %.1f ms late', $pid, $at, -$lead) if $lead < 0;

        my $range = $r->{lead}{$pid} ||= [$lead, $lead];
        @$range = (min($range->[0], $lead), max($range->[1], $lead));

        my $body = substr $b, 9 + $skip;

        if (defined $before) {
            my $back = ($before - $dts) % 2 ** 33;
            $wrong->('DTS of %x back at %d', $pid, $at)
                if $back && $back < 2 ** 32;
        }

        $before = $dts;

        if ($pid != 0x100) {
            push @$units, _audio($dts, $body);
            next;
        }

        my @nals = _nals($body);
        my @types = map { _type($codec, $_) } @nals;
        my $sets = $is_set{$codec};

        $wrong->('no delimiter at %d', $at)
            if !@types || !defined $sets->{$types[0]} || $sets->{$types[0]};

        for my $set ($key ? grep { $sets->{$_} } keys %$sets : ()) {
            $wrong->('key frame without set %d at %d', $set, $at)
                unless grep { $_ == $set } @types;
        }

        push @$units, [$dts, $pts, join("\0\0\1", map { $nals[$_] }
            grep { !defined $sets->{$types[$_]} } 0 .. $#nals), $key];
    }
}

# frames of a PES packet; the first has its time

sub _audio {
    my ($dts, $body) = @_;

    my @out;

    while (length $body > 7) {
        my @h = unpack 'C6', $body;
        my ($len, $skip);

        if ($h[0] == 0xff && ($h[1] & 0xf6) == 0xf0) {
            $len = ($h[3] & 3) << 11 | $h[4] << 3 | $h[5] >> 5;
            $skip = $h[1] & 1 ? 7 : 9;

        } elsif ($h[0] == 0xff && ($h[1] & 0xe6) == 0xe2) {
            my $one = $h[1] & 8;
            my @rates = $one
                ? qw/ 0 32 40 48 56 64 80 96 112 128 160 192 224 256 320 /
                : qw/ 0 8 16 24 32 40 48 56 64 80 96 112 128 144 160 /;
            my $hz = (44100, 48000, 32000)[$h[2] >> 2 & 3] / ($one ? 1 : 2);

            $len = int(($one ? 144 : 72) * 1000 * $rates[$h[2] >> 4] / $hz)
                   + ($h[2] >> 1 & 1);
            $skip = 0;
        }

        last unless $len;

        push @out, [$dts, undef, substr($body, $skip, $len - $skip)];
        $body = substr $body, min($len, length $body);
        undef $dts;
    }

    return @out;
}

# every frame of the file is there, with its bytes and, but for a constant,
# its times

sub _flv {
    my ($r, $path, $pmt, $wrong) = @_;

    my $codec = _codec($pmt);

    open my $fh, '<:raw', $path or croak "$path: $!";
    my $f = do { local $/; <$fh> };

    my %want = (0x100 => [], 0x101 => []);

    for (my $i = 13; $i + 15 <= length $f; ) {
        my ($type, $l1, $l2, $t1, $t2, $t3)
            = unpack 'C C n C n C', substr $f, $i, 8;
        my $len = $l1 << 16 | $l2;
        my $dts = $t3 << 24 | $t1 << 16 | $t2;
        my $b = substr $f, $i + 11, $len;
        my @h = unpack 'C8', $b;

        $i += 15 + $len;

        if ($type == 9 && $len > 8) {
            my $ex = $h[0] & 0x80;
            my $how = $ex ? $h[0] & 15 : $h[1];
            next unless $ex ? $how == 1 || $how == 3 : $how == 1;

            my $skip = $ex && $how == 1 ? 8 : 5;
            my $cts = 0;

            if (!$ex || $how == 1) {
                my @c = @h[$skip - 3 .. $skip - 1];
                $cts = $c[0] << 16 | $c[1] << 8 | $c[2];
                $cts -= 1 << 24 if $cts >> 23;
            }

            my @nals;
            my $p = substr $b, $skip;

            while (length $p > 4) {
                my $n = unpack 'N', $p;
                push @nals, substr($p, 4, $n) =~ s/\0+\z//r;
                $p = substr $p, min(4 + $n, length $p);
            }

            push @{ $want{0x100} }, [$dts, $dts + $cts, join "\0\0\1",
                grep { !defined $is_set{$codec}{_type($codec, $_)} } @nals];

        } elsif ($type == 8 && $len > 2) {
            my $aac = $h[0] >> 4 == 10;
            push @{ $want{0x101} }, [$dts, undef, substr $b, $aac ? 2 : 1]
                if !$aac || $h[1] == 1;
        }
    }

    my @offsets;

    for my $pid (0x100, 0x101) {
        my ($w, $g) = ($want{$pid}, $r->{units}{$pid} || []);

        # sound before the first picture is left out

        if ($pid == 0x101 && @$g) {
            my $n = first { $w->[$_][2] eq $g->[0][2] }
                    0 .. min(64, scalar @$w) - 1;
            splice @$w, 0, $n if $n;
            pop @$w if @$w == @$g + 1;
        }

        $wrong->('%d frames of %d on %x', scalar @$g, scalar @$w, $pid)
            if @$w != @$g;

        for my $i (0 .. min(scalar @$w, scalar @$g) - 1) {
            my ($x, $y) = ($w->[$i], $g->[$i]);

            if ($x->[2] ne $y->[2]) {
                $wrong->('frame at %d ms on %x is another', $x->[0], $pid);
                last;
            }

            push @offsets, map {
                defined $x->[$_] && defined $y->[$_]
                    ? ($y->[$_] - $x->[$_] * 90) % 2 ** 33 : ()
            } 0, 1;
        }
    }

    return unless @offsets;

    my $spread = max(@offsets) - min(@offsets);
    $wrong->('times are up to %d ticks apart', $spread) if $spread > 90;
}

my @crc = map {
    my $c = $_ << 24;
    $c = ($c << 1 ^ ($c & 0x80000000 ? 0x04c11db7 : 0)) & 0xffffffff for 1 .. 8;
    $c
} 0 .. 255;

sub _crc {
    my $c = 0xffffffff;
    $c = ($c << 8 & 0xffffffff) ^ $crc[$c >> 24 ^ $_] for unpack 'C*', $_[0];
    return $c;
}


=head2 jitter(datagrams of capture(), pcrs of check())

How far arrivals are from their PCRs, us: how much later each one came than the
earliest one, sorted.

=cut

sub jitter {
    my ($captured, $pcrs) = @_;

    my @d = map { $captured->[$_->[3]][0] - $_->[1] / 27 } @$pcrs;
    my $least = min(@d);

    @d = sort { $a <=> $b } map { $_ - $least } @d;

    return @d;
}


=head2 peak(captured, us, [share])

Bits a second in windows of so many us before each datagram: the most, or what
that share of them are below; and in all.

=cut

sub peak {
    my ($captured, $window, $share) = @_;

    return (0, 0) unless @$captured;

    my ($bytes, $all, $first, @windows) = (0, 0, 0);

    for my $d (@$captured) {
        $bytes += length $d->[1];
        $all += length $d->[1];

        $bytes -= length $captured->[$first++][1]
            while $captured->[$first][0] <= $d->[0] - $window;

        push @windows, $bytes;
    }

    @windows = sort { $a <=> $b } @windows;

    my $time = $captured->[-1][0] - $captured->[0][0];

    return ($windows[$#windows * (defined $share ? $share : 1)] * 8e6 / $window,
            $time && ($all - length $captured->[-1][1]) * 8e6 / $time);
}

1;
