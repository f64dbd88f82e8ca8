package MC::Datagram;

=head1 NAME

MC::Datagram - datagrams of UDP and RTP, made and read byte by byte

=head1 SYNOPSIS

    my $in = MC::Datagram->new;                     # 127.0.0.1, any port
    my $out = MC::Datagram->new(to => ['127.0.0.1', $port]);

    $out->send(rtp(seq => 7, ssrc => 1, payload => ts(7, id => 1)));
    my $d = $in->recv(2);

=cut

use strict;
use warnings;

use Carp qw/ croak /;
use Exporter qw/ import /;
use IO::Select;
use IO::Socket::IP ();
use Socket qw/ AF_INET6 IPPROTO_IP IPPROTO_IPV6 IP_ADD_MEMBERSHIP IP_TOS
               IP_TTL SOCK_DGRAM SOL_SOCKET SO_RCVBUF inet_aton pack_ip_mreq /;
use Time::HiRes qw/ time sleep /;

our @EXPORT_OK = qw/ rtp rtp_read ts ts_read /;


=head2 new(addr => '127.0.0.1', port => 0, to => [addr, port], group => addr)

A socket bound to addr and port; with C<to>, connected; with C<group>, an IPv4
one that joined the group on loopback.

=cut

sub new {
    my ($class, %args) = @_;

    my $to = $args{to};
    my $addr = $args{addr} || $args{group}
        || ($to && $to->[0] =~ /:/ ? '::' : $to ? '0.0.0.0' : '127.0.0.1');

    my $socket = IO::Socket::IP->new(
        LocalHost => $addr,
        LocalPort => $args{port} || 0,
        Type => SOCK_DGRAM,
        Proto => 'udp',
        $to ? (PeerHost => $to->[0], PeerPort => $to->[1]) : (),
    ) or croak "cannot open a UDP socket: $@ $!";

    if ($args{group}) {
        $socket->setsockopt(IPPROTO_IP, IP_ADD_MEMBERSHIP,
            pack_ip_mreq(inet_aton($args{group}), inet_aton('127.0.0.1')))
            or croak "cannot join $args{group}: $!";
    }

    $socket->setsockopt(SOL_SOCKET, SO_RCVBUF, pack 'i', 4 << 20);

    return bless { socket => $socket, select => IO::Select->new($socket) },
        $class;
}

sub port { $_[0]{socket}->sockport }
sub socket { $_[0]{socket} }

# what an earlier datagram met shows up here: that is not about this one

sub send {
    my ($self, @datagrams) = @_;

    for my $d (@datagrams) {
        $self->{socket}->send($d) // $self->{socket}->send($d);
    }
}

=head2 recv(seconds), recv_all(n, seconds)

A datagram, or undef when none comes in time; n of them, or as many as come
until the time has passed.

=cut

sub recv {
    my ($self, $seconds) = @_;

    return undef unless $self->{select}->can_read($seconds);

    my $buf;
    defined $self->{socket}->recv($buf, 65536) or return undef;

    return $buf;
}

sub recv_all {
    my ($self, $n, $seconds) = @_;

    my @all;
    my $end = time() + $seconds;

    while (@all < $n && time() < $end) {
        my $d = $self->recv($end - time());
        push @all, $d if defined $d;
    }

    return @all;
}

=head2 recv_info(seconds)

A datagram as { data, ttl, tos }, or undef.

=cut

use constant {
    IP_RECVTTL => 12, IP_RECVTOS => 13,
    IPV6_RECVHOPLIMIT => 51, IPV6_HOPLIMIT => 52, IPV6_RECVTCLASS => 66,
    IPV6_TCLASS => 67,
};

sub recv_info {
    my ($self, $seconds) = @_;

    # perl has no recvmsg(); pointers and lengths are machine words

    require 'sys/syscall.ph';

    unless ($self->{info}++) {
        my $level = $self->{socket}->sockdomain == AF_INET6 ? IPPROTO_IPV6
                                                            : IPPROTO_IP;
        my @options = $level == IPPROTO_IPV6
            ? (IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS) : (IP_RECVTTL, IP_RECVTOS);

        $self->{socket}->setsockopt($level, $_, pack 'i', 1)
            or croak "setsockopt(): $!" for @options;
    }

    return undef unless $self->{select}->can_read($seconds);

    my ($data, $control) = ("\0" x 65536, "\0" x 256);
    my $iov = pack 'PJ', $data, length $data;
    my $msg = pack 'JJPJPJJ', 0, 0, $iov, 1, $control, length $control, 0;

    my $n = syscall(&SYS_recvmsg, $self->{socket}->fileno, $msg, 0);
    return undef if $n == -1;

    my $length = (unpack 'JJJJJJ', $msg)[5];
    my %info = (data => substr $data, 0, $n);

    for (my $at = 0; $at + 16 <= $length; ) {
        my ($len, $level, $type) = unpack "x$at Jii", $control;
        my $value = substr $control, $at + 16, $len - 16;

        $value = length $value < 4 ? ord $value : unpack 'i', $value;

        $info{ttl} = $value
            if $level == IPPROTO_IP && $type == IP_TTL
            || $level == IPPROTO_IPV6 && $type == IPV6_HOPLIMIT;
        $info{tos} = $value
            if $level == IPPROTO_IP && $type == IP_TOS
            || $level == IPPROTO_IPV6 && $type == IPV6_TCLASS;

        $at += ($len + 7) & ~7;
    }

    return \%info;
}


=head2 rtp(seq, ts, ssrc, pt, payload, csrc => [], ext => bytes, pad, marker)

An RTP datagram.  C<ext> is the data of the header extension, whole words.

=cut

sub rtp {
    my %p = (version => 2, seq => 0, ts => 0, ssrc => 0x11223344, pt => 33,
             payload => '', csrc => [], pad => 0, marker => 0, @_);

    my $d = pack 'CCnNN',
        $p{version} << 6 | ($p{pad} ? 0x20 : 0) | (defined $p{ext} ? 0x10 : 0)
            | @{ $p{csrc} },
        $p{marker} << 7 | $p{pt}, $p{seq} & 0xffff, $p{ts} & 0xffffffff,
        $p{ssrc};

    $d .= pack 'N*', @{ $p{csrc} };
    $d .= pack('nn', 0xbede, length($p{ext}) / 4) . $p{ext} if defined $p{ext};
    $d .= $p{payload};
    $d .= "\0" x ($p{pad} - 1) . chr $p{pad} if $p{pad};

    return $d;
}

=head2 rtp_read(datagram)

The fields of the fixed header and the payload, of a datagram without CSRC,
extension and padding.

=cut

sub rtp_read {
    my ($d) = @_;

    my ($first, $second, $seq, $ts, $ssrc) = unpack 'CCnNN', $d;

    return { first => $first, marker => $second >> 7, pt => $second & 0x7f,
             seq => $seq, ts => $ts, ssrc => $ssrc,
             payload => substr($d, 12) };
}

=head2 ts(n, count => 7, pcr => ticks of 27 MHz, id => 0)

Whole TS packets of datagram n, of one PID; the first has a PCR if one is
given.  C<ts_read> finds n again, undef if there is none.

=cut

sub ts {
    my ($n, %p) = @_;

    my $count = $p{count} || 7;
    my $all = '';

    for my $i (0 .. $count - 1) {
        my $cc = ($n * $count + $i) & 0x0f;
        my $body = pack 'a4NNN', 'DGRM', $p{id} || 0, $n, $i;

        if ($i == 0 && defined $p{pcr}) {
            my $base = int($p{pcr} / 300);
            my $field = pack 'CNCC', 0x10, ($base >> 1) & 0xffffffff,
                ($base & 1) << 7 | 0x7e | ($p{pcr} % 300) >> 8,
                ($p{pcr} % 300) & 0xff;

            $all .= pack('CnCC', 0x47, 0x0101, 0x30 | $cc, length $field)
                . $field;
            $all .= $body . chr($n & 0xff) x (188 - 4 - 1 - 7 - length $body);
            next;
        }

        $all .= pack('CnC', 0x47, 0x0101, 0x10 | $cc) . $body
            . chr($n & 0xff) x (188 - 4 - length $body);
    }

    return $all;
}

sub ts_read {
    my ($data) = @_;

    return $data =~ /DGRM.{4}(.{4})/s ? unpack('N', $1) : undef;
}


1;
