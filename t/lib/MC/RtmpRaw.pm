package MC::RtmpRaw;

=head1 NAME

MC::RtmpRaw - an RTMP client that says whatever it is told to

=head1 SYNOPSIS

    use MC::RtmpRaw qw/ flv_tags amf /;

    my $c = MC::RtmpRaw->new($t->port('rtmp'));
    $c->connect('live');
    $c->create_stream;
    is($c->publish('name?key=x'), 'NetStream.Publish.Start');
    $c->tag(@$_) for flv_tags($t, 'in.flv');

Nothing here is checked before it is sent, and nothing blocks for longer than
C<timeout> seconds (5): what cannot be sent makes C<closed> true.

=cut

use strict;
use warnings;

use Exporter qw/ import /;
use IO::Socket::IP;
use Socket qw/ SOL_SOCKET SO_RCVBUF /;
use Time::HiRes qw/ time sleep /;

our @EXPORT_OK = qw/ amf amf_read flv_tags numbered publish_numbered
                     play_numbered /;


=head2 new(port, %options)

Connects and shakes hands; C<handshake>, 0 for not.  C<chunk> (128), the size
of chunks sent.  C<addr> (127.0.0.1), C<from>, the local address.

=cut

sub new {
    my ($class, $port, %o) = @_;

    my $self = bless {
        handshake => 1, chunk => 128, in_chunk => 128, timeout => 5,
        addr => '127.0.0.1', tx => 0, in => '', got => {}, %o,
    }, $class;

    $SIG{PIPE} = 'IGNORE';

    $self->{fh} = IO::Socket::IP->new(PeerHost => $self->{addr},
        PeerPort => $port, $o{from} ? (LocalHost => $o{from}) : ());

    if (!$self->{fh}) {
        $self->{closed} = 1;
        return $self;
    }

    $self->{fh}->blocking(0);
    $self->handshake if $self->{handshake};

    return $self;
}

=head2 serve(t, kind => sub, ...), port(kind)

A process with a server for each kind.  A sub is called with a client that has
just come and then every few ms, until it returns false, which closes it; it is
handed the client, an MC::RtmpRaw, a hash of its own for whatever it has to
remember, and the messages that have come.  C<step> of that hash is 0 before
the handshake, which C<shake> does.  C<json>: clients of each kind, and what
subs added up in C<< $c->{sum} >>.

C<normal(client, message)>: answers a command as servers do.

=cut

sub serve {
    my ($t, %kinds) = @_;

    my (%listen, @clients, %r);

    for (sort keys %kinds) {
        $listen{$_} = IO::Socket::IP->new(LocalHost => '127.0.0.1',
                                          Listen => 64) or die "listen: $!";
        $t->{raw_ports}{$_} = $listen{$_}->sockport;

        # or the kernel takes megabytes for whoever does not read

        setsockopt $listen{$_}, SOL_SOCKET, SO_RCVBUF, 65536;
    }

    return $t->background('serve', sub {
        my ($ended) = @_;

        $_->blocking(0) for values %listen;
        $SIG{PIPE} = 'IGNORE';

        until ($ended->()) {
            for my $kind (keys %listen) {
                while (my $fh = $listen{$kind}->accept) {
                    $fh->blocking(0);
                    push @clients, bless {
                        fh => $fh, kind => $kind, chunk => 128, tx => 0,
                        in_chunk => 128, in => '', got => {}, timeout => 0.2,
                        sum => $r{"$kind-sum"} ||= {}, step => 0, mem => {},
                    }, 'MC::RtmpRaw';
                    $r{$kind}++;
                }
            }

            @clients = grep {
                my $c = $_;
                my @m = $c->{step} && !$c->{raw} ? $c->receive : ();
                my $keep = $kinds{$c->{kind}}->($c, $c->{mem}, @m);

                $c->close unless $keep && !$c->{closed};
                !$c->{closed};
            } @clients;

            sleep 0.01;
        }

        return \%r;
    });
}

# true when it is done; C1 is given back as S1 and S2

sub shake {
    my ($self) = @_;

    return 1 if $self->{step};

    $self->_fill;
    return 0 if length $self->{in} < ($self->{said} ? 1536 : 1537);

    if (!$self->{said}++) {
        my $c1 = substr $self->{in}, 0, 1537, '';
        $self->send($c1 . substr $c1, 1);
        return 0;
    }

    substr $self->{in}, 0, 1536, '';
    $self->{step} = 1;

    return 1;
}

sub normal {
    my ($self, $m) = @_;

    my ($name, $tx) = @{ $m->{args} || return };

    if ($name eq 'connect') {
        $self->message(5, 0, pack 'N', 2_500_000);
        $self->message(20, 0, amf('_result', $tx, [fmsVer => 'x'],
            [level => 'status', code => 'NetConnection.Connect.Success']),
            msid => 0);

    } elsif ($name eq 'createStream') {
        $self->message(20, 0, amf('_result', $tx, undef, 1), msid => 0);

    } elsif ($name eq 'publish' || $name eq 'play') {
        $self->message(4, 0, pack 'nN', 0, 1);
        $self->message(20, 0, amf('onStatus', 0, undef,
            [level => 'status', code => $name eq 'play'
                ? 'NetStream.Play.Start' : 'NetStream.Publish.Start',
             description => 'as you like']), msid => 1);
        $self->{up} = 1;

    } elsif ($name eq 'releaseStream' || $name eq 'FCPublish') {
        $self->message(20, 0, amf('_result', $tx, undef), msid => 0);
    }
}

sub handshake {
    my ($self) = @_;

    $self->send("\x03" . pack('NN', 0, 0) . 'x' x 1528);

    my $end = time() + $self->{timeout};
    sleep 0.002 while !$self->_fill && length $self->{in} < 3073
                      && time() < $end && !$self->{closed};

    return 0 if length $self->{in} < 3073;

    my $s = substr $self->{in}, 0, 3073, '';

    return $self->send(substr $s, 1, 1536);
}


=head2 send(bytes), closed(), close()

C<send> is false if not everything went.  C<closed> looks whether the server
has closed the connection.

=cut

sub send {
    my ($self, $data) = @_;

    return 0 if $self->{closed};

    my ($at, $end) = (0, time() + $self->{timeout});

    while ($at < length $data) {
        my $n = syswrite $self->{fh}, $data, length($data) - $at, $at;

        if ($n) {
            $at += $n;
            $end = time() + $self->{timeout};
            next;
        }

        unless ($!{EAGAIN} || $!{EINTR}) {
            $self->{closed} = 1;
            return 0;
        }

        return 0 if time() > $end;

        $self->_fill;
        vec(my $w = '', fileno $self->{fh}, 1) = 1;
        select undef, $w, undef, 0.1;
    }

    return 1;
}

sub _fill {
    my ($self) = @_;

    while (!$self->{closed}) {
        my $n = sysread $self->{fh}, $self->{in}, 65536, length $self->{in};

        return 0 if !defined $n && ($!{EAGAIN} || $!{EINTR});
        $self->{closed} = 1 unless $n;
    }

    return 0;
}

sub closed {
    my ($self, $seconds) = @_;

    my $end = time() + ($seconds || 0);

    for ( ;; ) {
        $self->_fill;
        return 1 if $self->{closed};
        return 0 if time() >= $end;
        sleep 0.01;
    }
}

sub close {
    my ($self) = @_;

    close $self->{fh} if $self->{fh};
    $self->{closed} = 1;
}


=head2 message(type, timestamp, body, %options)

One message in chunks of C<chunk> bytes.  C<csid> (by type), C<msid> (1),
C<len>, the length that the header says.  C<tag> is the same.

=cut

my %csid = (1 => 2, 3 => 2, 4 => 2, 5 => 2, 8 => 4, 9 => 6, 18 => 5, 20 => 3);

sub chunks {
    my ($self, $type, $ts, $body, %o) = @_;

    my $csid = $o{csid} || $csid{$type} || 7;
    my $msid = defined $o{msid} ? $o{msid} : $type == 8 || $type == 9 ? 1 : 0;
    my $len = defined $o{len} ? $o{len} : length $body;
    my $ext = $ts >= 0xffffff ? pack 'N', $ts & 0xffffffff : '';

    my $out = pack('C', $csid) . substr(pack('N', $ext ? 0xffffff : $ts), 1)
        . substr(pack('N', $len), 1) . pack('CV', $type, $msid) . $ext;

    for (my $at = 0; $at < length $body || $at == 0; $at += $self->{chunk}) {
        $out .= pack('C', 0xc0 | $csid) . $ext if $at;
        $out .= substr $body, $at, $self->{chunk};
        last unless $self->{chunk};
    }

    return $out;
}

sub message {
    my ($self, @args) = @_;

    return $self->send($self->chunks(@args));
}

*tag = \&message;

=head2 chunk_size(n)

Tells another chunk size, and uses it.

=cut

sub chunk_size {
    my ($self, $n) = @_;

    my $ok = $self->message(1, 0, pack 'N', $n);

    $self->{chunk} = $n;

    return $ok;
}


=head2 amf(values...)

AMF0: numbers, strings, undef for null, \0 and \1 for booleans, \"text" for a
string that looks like a number, [key, value, ...] for an object.

=cut

sub amf {
    return join '', map { _amf($_) } @_;
}

sub _amf {
    my ($v) = @_;

    return "\x05" unless defined $v;

    if (ref $v eq 'SCALAR') {
        return pack 'CC', 1, $$v if $$v =~ /^[01]$/;
        $v = $$v;

    } elsif (ref $v eq 'ARRAY') {
        my @kv = @$v;
        my $out = "\x03";

        while (my ($k, $x) = splice @kv, 0, 2) {
            $out .= pack('n/a', $k) . _amf($x);
        }

        return "$out\0\0\x09";

    } elsif ($v =~ /^-?\d+(?:\.\d+)?$/) {
        return "\0" . pack 'd>', $v;
    }

    return length $v > 65535 ? "\x0c" . pack 'N/a', $v
                             : "\x02" . pack 'n/a', $v;
}

sub amf_read {
    my ($data) = @_;

    my @values;

    push @values, _amf_read(\$data) while length $data;

    return @values;
}

sub _amf_read {
    my ($d) = @_;

    my $type = unpack 'C', substr $$d, 0, 1, '';

    return unpack 'd>', substr $$d, 0, 8, '' if $type == 0;
    return unpack 'C', substr $$d, 0, 1, '' if $type == 1;
    return substr $$d, 0, unpack('n', substr $$d, 0, 2, ''), '' if $type == 2;
    return undef if $type == 5 || $type == 6;

    if ($type == 3 || $type == 8) {
        my %o;
        substr $$d, 0, 4, '' if $type == 8;

        while (length $$d > 3) {
            my $key = substr $$d, 0, unpack('n', substr $$d, 0, 2, ''), '';
            if ($key eq '') { substr $$d, 0, 1, ''; last }
            $o{$key} = _amf_read($d);
        }

        return \%o;
    }

    $$d = '';

    return undef;
}


=head2 receive([seconds])

The messages that have come: { type, ts, body }, and of commands C<args>.

=head2 command(name, values...), answer(sub, [seconds])

Sends one, with a transaction id.  C<answer> waits for a message of which the
sub, called with its C<args>, says true; undef if none comes.

=cut

sub receive {
    my ($self) = @_;

    $self->_fill;

    my @messages;

    while (my $n = $self->_chunk) {
        push @messages, $n if ref $n;
    }

    return @messages;
}

sub _chunk {
    my ($self) = @_;

    return 0 unless length $self->{in};

    my $first = unpack 'C', $self->{in};
    my ($fmt, $csid) = ($first >> 6, $first & 63);
    my $st = $self->{got}{$csid} ||= { body => '', len => 0, type => 0,
                                       ts => 0 };
    my $at = 1;
    my $need = (11, 7, 3, 0)[$fmt];

    return 0 if length $self->{in} < $at + $need;

    my %new = %$st;

    if ($fmt < 3) {
        $new{ts24} = unpack 'N', "\0" . substr $self->{in}, $at, 3;
        @new{qw/ len type /} = (unpack('N', "\0" . substr $self->{in}, $at + 3, 3),
                                unpack('C', substr $self->{in}, $at + 6, 1))
            if $fmt < 2;
        $at += $need;
    }

    $at += 4 if ($new{ts24} || 0) == 0xffffff;

    my $part = $new{len} - length $new{body};
    $part = $self->{in_chunk} if $part > $self->{in_chunk};

    return 0 if length $self->{in} < $at + $part;

    $new{body} .= substr $self->{in}, $at, $part;
    substr($self->{in}, 0, $at + $part) = '';
    $self->{got}{$csid} = \%new;

    return 1 if length $new{body} < $new{len};

    my %m = (type => $new{type}, ts => $new{ts24}, body => $new{body});
    $new{body} = '';

    $self->{in_chunk} = unpack 'N', $m{body} if $m{type} == 1;
    $m{args} = [amf_read($m{body})] if $m{type} == 20;

    return \%m;
}

sub command {
    my ($self, $name, @values) = @_;

    return $self->message(20, 0, amf($name, ++$self->{tx}, @values),
                          msid => $name =~ /^(?:connect|createStream)$/ ? 0
                                                                        : 1);
}

sub answer {
    my ($self, $sub, $seconds) = @_;

    my $end = time() + ($seconds || $self->{timeout});

    for ( ;; ) {
        for my $m ($self->receive) {
            push @{ $self->{heard} }, $m;
            return $m->{args} if $m->{args} && $sub->(@{ $m->{args} });
        }

        return undef if $self->{closed} || time() > $end;
        sleep 0.005;
    }
}


=head2 connect(app, [pairs...]), create_stream(), publish(name), play(name)

The usual commands.  The first two return whether the answer was _result, the
others the code of the onStatus that came, undef for none.

=cut

sub connect {
    my ($self, $app, @pairs) = @_;

    $self->command('connect', [app => $app,
                               tcUrl => "rtmp://127.0.0.1/$app", @pairs])
        or return 0;

    return $self->answer(sub { $_[0] =~ /^_/ && $_[1] == $self->{tx} })
           ? 1 : 0;
}

sub create_stream {
    my ($self) = @_;

    $self->command('createStream', undef) or return 0;

    return $self->answer(sub { $_[0] =~ /^_/ && $_[1] == $self->{tx} })
           ? 1 : 0;
}

sub publish {
    my ($self, $name, $seconds) = @_;

    $self->command('publish', undef, \$name, 'live') or return undef;

    return $self->_status($seconds);
}

sub play {
    my ($self, $name, $seconds) = @_;

    $self->command('play', undef, \$name) or return undef;

    return $self->_status($seconds);
}

sub _status {
    my ($self, $seconds) = @_;

    my $args = $self->answer(sub { $_[0] eq 'onStatus' }, $seconds)
        or return undef;

    my ($o) = grep { ref } @$args;

    return $o ? $o->{code} : '';
}


=head2 flv_tags(t, file)

The tags of an FLV file of the test's prefix: [type, timestamp, body].

=cut

sub flv_tags {
    my ($t, $file) = @_;

    my $data = $t->read_file($file);
    my @tags;

    for (my $at = 13; $at + 15 <= length $data; ) {
        my ($type, $len, $low, $high) = unpack 'C a3 a3 C', substr $data, $at;
        $len = unpack 'N', "\0$len";
        push @tags, [$type, unpack('N', "\0$low") | $high << 24,
                     substr $data, $at + 11, $len];
        $at += 15 + $len;
    }

    return @tags;
}


=head2 numbered(n, [bytes])

A key frame of H.264, as far as anybody but a decoder can see, with a number.

=head2 publish_numbered(t, url, config, [bytes]), play_numbered(t, url)

An MC::Process that sends 25 of them a second after the tag C<config>, until it
is stopped; and one that plays them.  C<json> has C<sent>; C<frames>, C<first>,
C<last>, C<lost>, C<other>, those that are not numbered, and C<closed>.

=cut

sub numbered {
    my ($n, $bytes) = @_;

    my $nal = sprintf "\x65MCN%08d", $n;
    $nal .= 'x' x (($bytes || 400) - length $nal);

    return "\x17\1\0\0\0" . pack 'N/a', $nal;
}

sub _open {
    my ($t, $url) = @_;

    my ($port, $app, $name) = $t->expand($url) =~ m!:(\d+)/([^/]+)/(.+)!;
    my $c = MC::RtmpRaw->new($port);

    $c->connect($app) && $c->create_stream or die "cannot connect: $url\n";

    return ($c, $name);
}

sub publish_numbered {
    my ($t, $url, $config, $bytes) = @_;

    return $t->background('numbered', sub {
        my ($ended) = @_;
        my ($c, $name) = _open($t, $url);
        my $code = $c->publish($name) || 'no answer';

        die "$code\n" if $code ne 'NetStream.Publish.Start';

        my ($n, $start) = (0, time());

        $c->chunk_size(4096);
        $c->tag(9, 0, $config);

        until ($ended->() || $c->closed) {
            $c->tag(9, $n * 40, numbered($n, $bytes)) and $n++;
            my $wait = $start + $n * 0.04 - time();
            sleep $wait if $wait > 0;
        }

        return { sent => $n, closed => $c->{closed} ? 1 : 0 };
    });
}

sub play_numbered {
    my ($t, $url) = @_;

    return $t->background('player', sub {
        my ($ended) = @_;
        my ($c, $name) = _open($t, $url);
        my %r = (frames => 0, lost => 0, other => 0);

        $c->play($name);

        my @messages = @{ delete $c->{heard} || [] };

        until ($ended->() || $c->closed) {
            push @messages, $c->receive;

            for (splice @messages) {
                next if $_->{type} != 9 || $_->{body} =~ /^.\0/s;

                if ($_->{body} !~ /MCN(\d{8})/) {
                    $r{other}++;
                    next;
                }

                $r{first} = $1 + 0 unless $r{frames}++;
                $r{lost} += abs($1 - $r{last} - 1) if defined $r{last};
                $r{last} = $1 + 0;
            }

            sleep 0.02;
        }

        return { %r, closed => $c->{closed} ? 1 : 0 };
    });
}


1;
