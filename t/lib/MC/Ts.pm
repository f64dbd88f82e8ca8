package MC::Ts;

=head1 NAME

MC::Ts - MPEG-TS packet by packet, right or wrong

=head1 SYNOPSIS

    my $ts = MC::Ts->new;
    my $data = $ts->pat([1, 0x100]) . $ts->pmt(1, 0x100, 0, 0x101,
                                               [0x1b, 0x101])
        . $ts->pes(0x101, 0xe0, 90000, $access_unit, pcr => 90000);

Each returns whole packets; continuity counters go on.  ISO/IEC 13818-1.

=cut

use strict;
use warnings;

my @crc = map {
    my $c = $_ << 24;
    $c = $c & 0x80000000 ? ($c << 1 ^ 0x04c11db7) & 0xffffffff
                         : $c << 1 & 0xffffffff for 1 .. 8;
    $c;
} 0 .. 255;

sub new { return bless { cc => {} }, shift }

sub _crc {
    my $c = 0xffffffff;
    $c = ($c << 8 & 0xffffffff) ^ $crc[$c >> 24 ^ $_] for unpack 'C*', $_[0];
    return pack 'N', $c;
}


=head2 packets(pid, payload, %options)

C<scrambled> (0), the two bits; C<pcr>; C<start> (1), payload_unit_start.

=cut

sub packets {
    my ($self, $pid, $payload, %o) = @_;

    my ($out, $start) = ('', exists $o{start} ? $o{start} : 1);

    while (length $payload) {
        my $af = '';

        if (defined $o{pcr}) {
            my $base = delete $o{pcr};
            $af = pack 'CNn', 0x10, $base >> 1, ($base & 1) << 15 | 0x7e00;
        }

        my $room = 184 - (length $af ? 1 + length $af : 0);
        my $part = substr $payload, 0, $room, '';
        my $stuff = $room - length $part;

        if ($stuff) {
            if (!length $af) {
                $stuff--;
                $af = "\0" if $stuff;
                $stuff-- if $stuff;
                $af .= "\xff" x $stuff;
                $af = pack 'C/a', $af;
            } else {
                $af = pack 'C/a', $af . "\xff" x $stuff;
            }
        } elsif (length $af) {
            $af = pack 'C/a', $af;
        }

        my $cc = $self->{cc}{$pid}++ & 15;

        $out .= pack('CnC', 0x47, ($start ? 0x4000 : 0) | $pid,
                     ($o{scrambled} || 0) << 6 | (length $af ? 0x30 : 0x10)
                     | $cc) . $af . $part;
        $start = 0;
    }

    return $out;
}


=head2 section(pid, table, extension, version, data), pat([program, pid], ...),
pmt(program, pid, version, pcr pid, [type, pid, descriptors], ...)

=cut

sub section {
    my ($self, $pid, $table, $ext, $version, $data) = @_;

    my $s = pack('CnnCCC', $table, 0xb000 | 9 + length $data, $ext,
                 0xc1 | ($version & 31) << 1, 0, 0) . $data;
    $s = "\0" . $s . _crc($s);

    return $self->packets($pid, $s . "\xff" x (-length($s) % 184));
}

sub pat {
    my ($self, @programs) = @_;

    return $self->section(0, 0, 1, $self->{pat_version} || 0, join '', map {
        pack 'nn', $_->[0], 0xe000 | $_->[1]
    } @programs);
}

sub pmt {
    my ($self, $program, $pid, $version, $pcr, @streams) = @_;

    return $self->section($pid, 2, $program, $version,
        pack('nn', 0xe000 | $pcr, 0xf000) . join '', map {
            pack('Cnn', $_->[0], 0xe000 | $_->[1], 0xf000
                 | length($_->[2] // '')) . ($_->[2] // '')
        } @streams);
}


=head2 pes(pid, stream id, pts, data, %options)

C<len>, what PES_packet_length says (0, which is for video); C<header_len>,
what PES_header_data_length says; others as of C<packets>.

=cut

sub pes {
    my ($self, $pid, $id, $pts, $data, %o) = @_;

    my $p = "\0\0\1" . pack('Cn', $id, delete $o{len} || 0)
        . pack('CCC', 0x80, 0x80, defined $o{header_len} ? $o{header_len} : 5)
        . pack('CnN', 0, 0, 0);
    substr($p, 9) = pack 'Cnn', 0x21 | ($pts >> 29 & 0xe),
        ($pts >> 14 & 0xfffe) | 1, ($pts << 1 & 0xfffe) | 1;

    delete $o{header_len};

    return $self->packets($pid, $p . $data, %o);
}


=head2 annexb(avcc), au(n, bytes)

SPS and PPS of an AVC configuration (a tag of FLV) with start codes; a numbered
access unit, see MC::RtmpRaw.

=cut

sub annexb {
    my ($tag) = @_;

    my $d = substr $tag, 10;
    my $out = '';

    for (1 .. 2) {
        my $n = unpack('C', substr $d, 0, 1, '') & 31;
        $out .= "\0\0\0\1" . substr $d, 0, unpack('n', substr $d, 0, 2, ''), ''
            for 1 .. $n;
    }

    return $out;
}

sub au {
    my ($n, $bytes, $sets) = @_;

    my $nal = sprintf "\x65\x88MCN%08d", $n;
    $nal .= 'x' x (($bytes || 400) - length $nal);

    return "\0\0\0\1\x09\xf0$sets\0\0\0\1$nal";
}


1;
