package MC::Load;

=head1 NAME

MC::Load - live flows of every kind with their peers, and a hunt for two owners

=head1 SYNOPSIS

    my $load = MC::Load->new($t, n => 20, rate => '400k');

    $t->{flows} = $load->text;
    $t->start;
    $load->begin;                       # tests that all flows are live
    my $hunt = $load->hunt;
    ...
    $load->end;                         # the peers, senders first
    $load->check_untouched;             # not a packet lost, not a connection

=cut

use strict;
use warnings;

use Test::More;
use Time::HiRes qw/ sleep time /;

# "#" is the flow's name, "!" the number of the round: ten kinds, of which two
# share a port

my @kinds = (
    listener => [ 'srt://:%%#_in%%',
                  'srt://:%%#_out%%',
                  'srt://127.0.0.1:%%#_in%%',
                  'srt://127.0.0.1:%%#_out%%' ],
    encrypted => [ 'srt://:%%#_in%%  passphrase=passphrase-in',
                   'srt://127.0.0.1:%%#_out%%  passphrase=passphrase-out'
                   . ' pbkeylen=32',
                   'srt://127.0.0.1:%%#_in%%?passphrase=passphrase-in',
                   'srt://127.0.0.1:%%#_out%%?mode=listener'
                   . '&passphrase=passphrase-out' ],
    caller => [ 'srt://127.0.0.1:%%#_in%%',
                'udp://127.0.0.1:%%#_out%%',
                'srt://127.0.0.1:%%#_in%%?mode=listener',
                'udp://127.0.0.1:%%#_out%%' ],
    shareda => [ 'srt://:%%shared!%%  streamid=one',
                 'srt://:%%shared!%%  streamid=one-out',
                 'srt://127.0.0.1:%%shared!%%?streamid=one',
                 'srt://127.0.0.1:%%shared!%%?streamid=one-out' ],
    sharedb => [ 'srt://:%%shared!%%  streamid=two passphrase=passphrase-2',
                 'rtp://127.0.0.1:%%#_out%%',
                 'srt://127.0.0.1:%%shared!%%?streamid=two'
                 . '&passphrase=passphrase-2',
                 'rtp://127.0.0.1:%%#_out%%' ],
    rtp => [ ('rtp://127.0.0.1:%%#_in%%', 'rtp://127.0.0.1:%%#_out%%') x 2 ],
    rtpsrt => [ 'rtp://:%%#_in%%',
                'srt://:%%#_out%%',
                'rtp://127.0.0.1:%%#_in%%',
                'srt://127.0.0.1:%%#_out%%' ],
    udp => [ ('udp://127.0.0.1:%%#_in%%', 'udp://127.0.0.1:%%#_out%%') x 2 ],
    udprtp => [ 'udp://:%%#_in%%',
                'rtp://127.0.0.1:%%#_out%%',
                'udp://127.0.0.1:%%#_in%%',
                'rtp://127.0.0.1:%%#_out%%' ],
    udpsrt => [ 'udp://127.0.0.1:%%#_in%%',
                'srt://127.0.0.1:%%#_out%%',
                'udp://127.0.0.1:%%#_in%%',
                'srt://127.0.0.1:%%#_out%%?mode=listener' ],
);


=head2 new($t, %args)

C<n> flows (10), in rounds of the ten kinds; C<rate> of each (400k);
C<seconds> that peers last (100); C<options>, a list for the peers, as
C<--reconnect>.  C<patient> (0), for who counts packets on a machine that is
busy: a latency of 1 s, nothing dropped for being late, and 20 s before a
silent peer is given up.

=cut

sub new {
    my ($class, $t, %args) = @_;

    my $self = bless {
        t => $t, n => 10, rate => '400k', seconds => 100, options => [],
        patient => 0, %args, send => {}, recv => {}, flows => {},
    }, $class;

    for my $i (0 .. $self->{n} - 1) {
        my $round = int($i / (@kinds / 2));
        my ($kind, $urls) = @kinds[2 * ($i % (@kinds / 2)),
                                   2 * ($i % (@kinds / 2)) + 1];
        my $name = "$kind$round";
        my @urls = @$urls;

        for (@urls) {
            s/#/$name/g;
            s/!/$round/g;
        }

        if ($self->{patient}) {
            my @params = ('latency=1000', 'peeridletimeo=20000', 'tlpktdrop=0');

            for (grep { /^srt/ } @urls[0, 1]) {
                $_ .= join ' ', '', @params;
            }

            for (grep { /^srt/ } @urls[2, 3]) {
                $_ .= (/\?/ ? '&' : '?') . join '&', @params;
            }
        }

        $self->{flows}{$name} = {
            source => $urls[0], output => $urls[1],
            send => $urls[2], recv => $urls[3],
        };
    }

    return $self;
}

sub names { return sort keys %{ $_[0]{flows} } }

# those that packets come out of as datagrams, with nobody who repeats any

sub datagram_names {
    my ($self) = @_;

    return grep { $self->{flows}{$_}{recv} !~ /^srt/ } $self->names;
}


=head2 text([extra])

The flows' configuration; C<extra> is a hash of lines more for some of them.

=cut

sub text {
    my ($self, $extra) = @_;

    return join '', map {
        my $f = $self->{flows}{$_};
        "mc_flow $_ {\n    mc_source $f->{source};\n"
        . "    mc_output o $f->{output};\n" . ($extra->{$_} || '') . "}\n"
    } $self->names;
}


=head2 begin(), end(), live([status])

C<begin> starts receivers first, or they would miss the beginning.  C<end>
ends senders, then receivers, and fills C<sent> and C<got>, hashes by name.

=cut

sub begin {
    my ($self, @names) = @_;

    my $t = $self->{t};

    @names = $self->names unless @names;

    for (@names) {
        $self->{recv}{$_} = $t->spawn(
            "recv-$_", $t->tool, 'recv', $self->{flows}{$_}{recv},
            '--seconds', $self->{seconds}, '--wait', 60,
            @{ $self->{options} });
    }

    $self->{recv}{$_}->wait_out(qr/ready/, 10) for @names;

    $t->poll(sub {
        my $s = $t->status or return 0;
        !grep {
            ($s->{flows}{$_}{outputs}[0]{state} || '') ne 'connected'
        } @names
    }, 20);

    for (@names) {
        $self->{send}{$_} = $t->spawn(
            "send-$_", $t->tool, 'send', $self->{flows}{$_}{send},
            '--seconds', $self->{seconds}, '--wait', 60, '--tick', 5000,
            '--rate', $self->{rate}, @{ $self->{options} });
    }

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $t->wait_for(sub { $self->live(undef, @names) }, 30,
                 scalar(@names) . ' flows are live');
}

sub live {
    my ($self, $s, @names) = @_;

    $s ||= $self->{t}->status or return 0;
    @names = $self->names unless @names;

    return !grep {
        my $f = $s->{flows}{$_};
        !$f || !$f->{sources}[0]{packets} || !$f->{outputs}[0]{packets}
        || $f->{sources}[0]{state} ne 'connected'
    } @names;
}

sub end {
    my ($self, $no_wait) = @_;

    my $t = $self->{t};
    my @names = keys %{ $self->{send} };

    # a second signal, as timeout gives it, would cut short how a sender ends

    kill 'TERM', map { $self->{send}{$_}->program || () } @names;

    $self->{sent}{$_} = $self->{send}{$_}->json for @names;

    $t->poll(sub {
        my $s = $t->status or return 0;
        !grep { $s->{flows}{$_}{sources}[0]{state} eq 'connected' } @names
    }, 15) unless $no_wait;

    # a receiver has its last packet when its latency is over

    sleep($self->{patient} ? 1.5 : 0.3);

    $_->stop for values %{ $self->{recv} };
    $self->{got}{$_} = $self->{recv}{$_}->json for @names;
}


=head2 check_untouched()

One test a flow: nothing lost, doubled, out of order or altered between its
sender and its receiver, and one connection all the time.

=cut

sub check_untouched {
    my ($self) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for my $name ($self->names) {
        my ($sent, $got) = ($self->{sent}{$name}, $self->{got}{$name});

        my @bad = map { "$_ $got->{$_}" } grep { $got->{$_} }
                  qw/ lost duplicate reordered corrupted ts_lost ts_duplicate
                      cc_errors sync_errors psi_errors /;
        push @bad, 'connections ' . ($sent->{connections} || 0)
            if $self->{flows}{$name}{send} =~ /^srt/
               && ($sent->{connections} || 0) != 1;
        push @bad, "not sent $sent->{send_dropped}" if $sent->{send_dropped};
        push @bad, "sent $sent->{ts_packets}, got $got->{ts_packets}"
            if ($sent->{ts_packets} || 0) != ($got->{ts_packets} || 0)
               || !$sent->{ts_packets};

        is(join(', ', @bad), '',
           "$name: not a packet is lost, not a connection")
            or diag(explain($sent, $got));
    }
}


=head2 hunt(), hunted()

A process that looks for flows with two owners all the time: one offset of the
lock file (any file of that name, a deleted one too) locked by two processes,
one port of a source or a listening output bound twice or in two processes.
C<hunted> ends it and tests what it has seen.

=cut

sub hunt {
    my ($self) = @_;

    my $t = $self->{t};
    my $master = $t->pid;
    my %port;

    for my $f (values %{ $self->{flows} }) {
        for ($f->{source}, $f->{output}) {
            next if /^srt:\/\/127/;                # callers
            next if $_ eq $f->{output} && !/^srt/; # those that only send
            $port{ $t->port($1) } = $1 if /%%(\w+)%%/;
        }
    }

    my $lock = $t->dir . '/nginx.pid.mc.lock';

    return $self->{hunt} = $t->background('hunt', sub {
        my ($ends) = @_;

        my %r = (samples => 0, locks => 0, ports => 0, longest => 0,
                 found => []);
        my ($last, %told) = (0);

        my $found = sub {
            my ($what) = @_;
            push @{ $r{found} }, sprintf '%.3f %s', time(), $what
                unless $told{$what}++ || @{ $r{found} } > 50;
        };

        until ($ends->()) {
            my $now = time();
            $r{longest} = $now - $last if $last && $now - $last > $r{longest};
            $last = $now;

            my (%holder, %inode);

            for my $pid (MC::_children($master)) {
                my ($locks, $sockets) = _fds($pid, $lock);
                push @{ $holder{$_} }, $pid for keys %$locks;
                push @{ $inode{$_} }, $pid for keys %$sockets;
            }

            my $bound = _bound(\%port);

            $r{samples}++;
            $r{locks} = keys %holder if keys %holder > $r{locks};
            $r{ports} = keys %$bound if keys %$bound > $r{ports};

            # processes are looked at one after another, and a lock may have
            # moved in between: two hold it if both still do

            for my $offset (grep { @{ $holder{$_} } > 1 } keys %holder) {
                my @pids = @{ $holder{$offset} };
                my @still = grep { (_fds($_, $lock))[0]{$offset} } @pids, @pids;
                $found->("offset $offset is locked by @pids")
                    if @still == 2 * @pids;
            }

            for my $port (grep { keys %{ $bound->{$_} } > 1 } keys %$bound) {
                my @inodes = sort keys %{ $bound->{$port} };
                my @pids = map { @{ $inode{$_} || ['?'] } } @inodes;
                my $again = _bound({ $port => 1 })->{$port} || {};
                $found->("port $port{$port} is bound twice, by @pids")
                    if @inodes == grep { $again->{$_} } @inodes;
            }

            for my $i (map { keys %$_ } values %$bound) {
                my @pids = @{ $inode{$i} || [] };
                next if @pids < 2;
                my @still = grep { (_fds($_, $lock))[1]{$i} } @pids, @pids;
                $found->("socket $i is in @pids") if @still == 2 * @pids;
            }

            sleep 0.015;
        }

        return \%r;
    });
}

sub hunted {
    my ($self) = @_;

    my $r = $self->{hunt}->json;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok($r->{samples} && $r->{samples} > 20 && $r->{locks} && $r->{ports},
       'the hunt for two owners was on');
    is(join("\n", @{ $r->{found} || ['?'] }), '',
       'never a flow with two owners');
    diag(sprintf 'hunt: %d samples, %.0f ms between two at most,'
         . ' %d locks, %d ports', $r->{samples} || 0,
         1000 * ($r->{longest} || 0), $r->{locks} || 0, $r->{ports} || 0);
}

# what a process has open: offsets that it locks, and its sockets' inodes

sub _fds {
    my ($pid, $lock) = @_;

    my (%locks, %sockets);

    opendir my $dir, "/proc/$pid/fd" or return ({}, {});

    for my $fd (readdir $dir) {
        my $to = readlink "/proc/$pid/fd/$fd" or next;

        if ($to =~ /^socket:\[(\d+)/) {
            $sockets{$1} = 1;

        } elsif (index($to, $lock) == 0) {
            my $text = MC::_slurp("/proc/$pid/fdinfo/$fd");
            $locks{$1} = 1 while $text =~ /^lock:.*OFDLCK.* (\d+) \d+$/mg;
        }
    }

    return (\%locks, \%sockets);
}

# the sockets of each port; a list that changes while it is read may have a line
# twice

sub _bound {
    my ($ports) = @_;

    my %bound;

    for my $file ('/proc/net/udp', '/proc/net/udp6') {
        for (split /\n/, MC::_slurp($file)) {
            my @f = split;
            my ($hex) = ($f[1] || '') =~ /:([0-9A-F]{4})$/ or next;
            $bound{ hex $hex }{ $f[9] } = 1 if $ports->{ hex $hex };
        }
    }

    return \%bound;
}


=head2 MC::Load::median(list), MC::Load::table(name => list, ...)

Of numbers, in the unit they have; the table is lines of minimum, median, 90 %
and maximum.

=cut

sub median { return (sort { $a <=> $b } @_)[$#_ / 2] }

sub table {
    my @rows = sprintf '%-28s %6s %8s %8s %8s %8s',
                       '', 'n', 'min', 'median', '90%', 'max';

    while (my ($name, $list) = splice @_, 0, 2) {
        my @s = sort { $a <=> $b } @$list;
        push @rows, @s ? sprintf '%-28s %6d %8.1f %8.1f %8.1f %8.1f',
                                 $name, scalar @s, @s[0, $#s / 2, .9 * $#s, -1]
                       : sprintf '%-28s %6d', $name, 0;
    }

    return join "\n", @rows;
}


1;
