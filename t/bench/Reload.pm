package Reload;

# What a reload costs, how long its parts take, and what a killed worker
# costs: measurements of t/bench/run.  They run in a network namespace of
# their own, where every port is free and /proc/net/udp is short.

use strict;
use warnings;

use IO::Select;
use IO::Socket::IP;
use List::Util qw/ max sum0 /;
use POSIX ();
use Socket qw/ SOCK_DGRAM /;
use Time::HiRes qw/ time sleep /;

use MC;

my $opt;

# where things are; flow I has its source at FIRST + I

use constant {
    FIRST => 10000, OUT => 9001, OUT_SRT => 9002, NOWHERE => 9009,
    SERVERS => 20000,
};

# libsrt collects closed listeners after 4 to 5 seconds: what comes of that
# belongs to the reload

use constant SETTLE => 8;


sub scenarios {
    ($opt) = @_;

    my @sizes = (10, 100, 1000);

    return (
        {
            name => 'reload-time',
            title => 'A reload, 2 workers: until all flows run again, and '
                     . 'what live flows notice',
            programs => [
                map {
                    my $n = $_;
                    map { { name => "$n flows, $_ live", n => $n, live => $_ } }
                        1, 10
                } @sizes
            ],
            run => \&run_time, print => \&print_time,
        },
        {
            name => 'reload-cpu', title => 'CPU of a reload, 2 workers',
            programs => [
                map {
                    { name => "nginx, $_ servers in http", n => $_,
                      servers => 1 },
                    { name => "$_ flows, none live", n => $_ },
                    { name => "$_ flows, 1 live", n => $_, live => 1 },
                } @sizes
            ],
            run => \&run_cpu, print => \&print_cpu,
        },
        {
            name => 'reload-gap', title => 'How long the port of a flow that '
                                           . 'moves is closed, 2 workers',
            programs => [
                map {
                    { name => "SRT listener, of $_ flows", n => $_,
                      watch => 2, gap => \&gap_srt },
                    { name => "UDP source, of $_ flows", n => $_,
                      watch => 0, gap => \&gap_udp },
                } 3, 100
            ],
            run => \&run_gap, print => \&print_many,
            columns => [ [ closed => 'closed' ] ],
        },
        {
            name => 'reload-kill', title => 'kill -9 of a worker, 2 workers',
            programs => [
                map { { name => "$_ flows, 1 live", n => $_ } } 3, 100
            ],
            run => \&run_kill, print => \&print_many,
            columns => [
                [ udp => 'UDP port bound again' ],
                [ srt => 'SRT port bound again' ],
                [ packet => 'first packet out' ],
            ],
        },
        {
            name => 'reload-close', title => 'A reload closes SRT ports in '
                                             . 'the worker of live flows',
            programs => [
                map { { name => "$_ idle SRT listeners", n => $_, live => 1,
                        listeners => 1, workers => 1 } } 0, 50, 200
            ],
            run => \&run_time, print => \&print_time,
        },
    );
}


# nginx with flows

# Kinds in turn, so that each worker of two has each kind; flow 0 is the one
# that is watched.  SRT sources listen and call in turn, but the live ones
# listen.

sub kind {
    my ($p, $i) = @_;

    return $i ? 'listener' : 'udp' if $p->{listeners};
    return 'udp' if $i % 3 == 0;
    return 'rtp' if $i % 3 == 1;
    return $i % 6 == 5 && $i >= ($p->{live} || 0) ? 'caller' : 'listener';
}

sub flows {
    my ($p) = @_;

    my $n = $p->{n} + ($p->{listeners} ? 1 : 0);
    my $text = "mc_zone_size 256m;\n";

    for my $i (0 .. $n - 1) {
        my $kind = kind($p, $i);
        my $addr = '127.0.0.1:' . (FIRST + $i);
        my $source = $kind eq 'listener' ? "srt://$addr mode=listener"
                     : $kind eq 'caller' ? "srt://127.0.0.1:" . NOWHERE
                     : "$kind://$addr";
        my @outputs = $i
            ? 'mc_output o udp://127.0.0.1:' . NOWHERE . ';'
            : ('mc_output o udp://127.0.0.1:' . OUT . ';',
               'mc_output s srt://127.0.0.1:' . OUT_SRT . ' mode=listener;');

        $text .= "mc_flow f$i { mc_source $source; @outputs }\n";
    }

    return $text;
}

sub servers {
    my ($p) = @_;

    my $servers = join "\n", map {
        'server { listen 127.0.0.1:' . (SERVERS + $_) . '; }'
    } 0 .. $p->{n} - 1;

    return <<"END";
http {
    access_log off;
    client_body_temp_path %%DIR%%/tmp_body;
    proxy_temp_path %%DIR%%/tmp_proxy;
    fastcgi_temp_path %%DIR%%/tmp_fastcgi;
    uwsgi_temp_path %%DIR%%/tmp_uwsgi;
    scgi_temp_path %%DIR%%/tmp_scgi;
$servers
}
END
}

my $last;

sub start {
    my ($p) = @_;

    # a round that failed has not ended it

    end($last) if $last;

    my $t = $last = Reload::MC->new(
        start => 0, limit => 600, workers => $p->{workers} || 2,
        log => 'notice', plain => $p->{servers},
        $p->{servers} ? (http => 0, main => servers($p))
                      : (flows => flows($p)),
    );

    $t->start;

    unless ($p->{servers}) {
        $t->poll(sub {
            my $s = state($t);
            $s && !$s->{stopped} && !grep { !$_ } values %{ $s->{pid} };
        }, 60, 0.1) or die "the flows do not start\n";
    }

    return $t;
}

sub end {
    my ($t) = @_;

    $t->_cleanup;
    rmdir $t->{cgroup} if $t->{cgroup};
}

# Of all flows, without decoding megabytes of JSON: generation, owners, and
# whether an endpoint is stopped.

sub state {
    my ($t) = @_;

    my $text = $t->get('')->{content};
    my ($generation) = $text =~ /"generation":(\d+)/ or return undef;

    my %pid;

    $pid{$1} = $2 eq 'null' ? 0 : $2
        while $text =~ /"(f\d+)":\{"title".*?"pid":(\d+|null)/g;

    return { generation => $generation, pid => \%pid,
             stopped => scalar($text =~ /"state":"stopped"/) };
}

# Sends to the live flows: flow 0 gets a packet a millisecond, the others one
# in ten.

sub send_live {
    my ($t, $p, $rate) = @_;

    for (0 .. $p->{live} - 1) {
        my $kind = kind($p, $_);
        $kind = 'srt' if $kind eq 'listener';

        $t->mcpkt('send', "$kind://127.0.0.1:" . (FIRST + $_),
                  '--rate', $_ ? '1.05m' : $rate || '10.528m',
                  '--seconds', 600);
    }

    $t->poll(sub {
        my $text = $t->get('')->{content};
        my $n = () = $text =~ /"bitrate":[1-9]\d*,"bytes"/g;
        $n >= $p->{live};
    }, 20) or die "the flows do not get live\n";
}

# from the signal until all flows have an owner; undef: not in time

sub reload {
    my ($t, $p, $limit) = @_;

    my $before = state($t);
    my %old = map { $_ => 1 } values %{ $before->{pid} };
    my %live = map { ("f$_" => 1) } 0 .. ($p->{live} || 0) - 1;

    my $start = time();
    kill 'HUP', $t->pid;

    my ($asked, $after, $left, $took);

    for ( ;; ) {
        $asked = time();
        $after = state($t);
        $took = time() - $asked;

        $left = !$after || $after->{stopped}
            || $after->{generation} == $before->{generation}
            || grep {
                my ($was, $is) = ($before->{pid}{$_}, $after->{pid}{$_});
                !$is || ($old{$is} && !($live{$_} && $is == $was));
            } keys %{ $before->{pid} };

        last unless $left;
        return undef if time() - $start > ($limit || 30);

        # asking is work for the workers, too

        sleep(max($took, 0.002));
    }

    return { took => time() - $start, asking => $took };
}


# how long a reload takes, and what a receiver sees of it

sub run_time {
    my ($s, $p) = @_;

    my $t = start($p);
    my %r;

    send_live($t, $p);

    for my $what (qw/ quiet reload /) {
        my %recv = (
            udp => 'udp://127.0.0.1:' . OUT,
            srt => 'srt://127.0.0.1:' . OUT_SRT . '?latency=120',
            wire => 'srt://127.0.0.1:' . OUT_SRT . '?tsbpdmode=0',
        );

        for my $k (keys %recv) {
            $recv{$k} = $t->mcpkt('recv', $recv{$k}, '--keep', '--wait', 60);
            $recv{$k}->wait_out(qr/connected/, 10) if $k ne 'udp';
        }

        sleep 1;
        my $end = time() + SETTLE;

        if ($what eq 'reload') {
            my $c = reload($t, $p);
            $r{took} = $c->{took} if $c;
            $r{asking} = $c->{asking} if $c;

        } else {
            # the same questions
            my $until = time() + 0.3;
            while (time() < $until) {
                my $asked = time();
                state($t);
                sleep(max(time() - $asked, 0.002));
            }
        }

        sleep(max($end - time(), 0.1));

        for my $k (keys %recv) {
            $recv{$k}->signal('TERM');
            my $got = $recv{$k}->json(15);
            $r{"$what-$k"} = $got->{gap_us}{max} / 1e6 if $got->{gap_us};
            $r{"$what-lost"} += $got->{lost} || 0 if $k ne 'wire';
        }
    }

    end($t);

    $r{failed} = 'it did not converge' unless $r{took};

    return \%r;
}

sub print_time {
    my ($s, $programs, $results) = @_;

    print "### $s->{title}\n\n";
    print '| flows | all run again after | longest silence: of a UDP receiver ',
          '| without a reload | of an SRT receiver | without | on that SRT ',
          "connection's wire | without | lost |\n",
          "|---|---:|---:|---:|---:|---:|---:|---:|---:|\n";

    for my $p (@$programs) {
        my @ok = ok($results->{$p->{name}}) or failed($p, $results, 8), next;

        print "| $p->{name} |",
              (map { ' ' . span($_, @ok) . ' |' }
                   qw/ took reload-udp quiet-udp reload-srt quiet-srt
                       reload-wire quiet-wire /),
              ' ', worst('reload-lost', @ok), " |\n";
    }

    print "\nIn brackets the worst of the rounds.  Silences are those within ",
          SETTLE, " s.\n\n";
}

sub span {
    my ($key, @runs) = @_;

    my $worst = worst($key, @runs);

    return '' unless defined $worst;

    return ms(median($key, @runs)) . (@runs > 1 ? ' (' . ms($worst) . ')' : '');
}


# the CPU time of a reload, beyond what nginx uses anyway

sub run_cpu {
    my ($s, $p) = @_;

    my $t = start($p);
    my $n = $p->{live} ? 1 : 5;

    cgroup($t);

    send_live($t, $p, '1.05m') if $p->{live};

    # past the first attempts of callers

    sleep 3;

    my $cpu = cpu($t);
    my $start = time();
    sleep 5;
    my $idle = (cpu($t) - $cpu) / (time() - $start);

    $cpu = cpu($t);
    $start = time();

    for (1 .. $n) {
        my %old = map { $_ => 1 } $t->worker_pids(1);

        kill 'HUP', $t->pid;

        $t->poll(sub {
            my @pids = $t->worker_pids(1);
            my $new = grep { !$old{$_} } @pids;
            $new == $t->{workers} && ($p->{live} || @pids == $new);
        }, 30) or die "old workers do not leave\n";

        sleep($p->{live} ? SETTLE : 1);
    }

    my $used = cpu($t) - $cpu - $idle * (time() - $start);

    end($t);

    return { cpu => $used / $n, idle => $idle };
}

sub print_cpu {
    my ($s, $programs, $results) = @_;

    my %base;

    print "### $s->{title}\n\n";
    print "| nginx with | CPU ms of a reload | more than the servers | idle, ",
          "CPU ms/s |\n|---|---:|---:|---:|\n";

    for my $p (@$programs) {
        my @ok = ok($results->{$p->{name}}) or failed($p, $results, 3), next;
        my $cpu = median('cpu', @ok);

        $base{$p->{n}} = $cpu if $p->{servers};

        my @all = sort { $a <=> $b } map { $_->{cpu} * 1000 } @ok;

        printf "| %s | %.1f (%.1f to %.1f) | %s | %.1f |\n", $p->{name},
               $cpu * 1000, $all[0], $all[-1],
               $p->{servers} || !defined $base{$p->{n}} ? ''
                   : sprintf('%.1f', ($cpu - $base{$p->{n}}) * 1000),
               1000 * median('idle', @ok);
    }

    print "\n";
}

# CPU seconds of the master and all that it has started, threads and processes
# that have ended included.  A control group counts nanoseconds; without one
# there are the ticks of the master, its children, and those it has waited for.

sub cpu {
    my ($t) = @_;

    if (my $dir = $t->{cgroup}) {
        my $usage = slurp("$dir/cpuacct.usage");

        return $usage / 1e9 if length $usage;
        return slurp("$dir/cpu.stat") =~ /^usage_usec (\d+)/m ? $1 / 1e6 : 0;
    }

    my $ticks = 0;

    for my $path (glob '/proc/[0-9]*/stat') {
        my $text = slurp($path);
        my ($pid) = $text =~ /^(\d+)/ or next;

        $text =~ s/^.*\) //s;
        my @f = split ' ', $text;

        if ($pid == $t->pid) {
            $ticks += sum0(@f[11 .. 14]);

        } elsif ($f[1] == $t->pid) {
            $ticks += sum0(@f[11 .. 12]);
        }
    }

    return $ticks / POSIX::sysconf(&POSIX::_SC_CLK_TCK);
}

sub cgroup {
    my ($t) = @_;

    for my $base (map { "/sys/fs/cgroup$_" } '/cpuacct', '/unified', '') {
        my $dir = "$base/mc-bench-$$";

        mkdir $dir or next;

        if (-e "$dir/cpuacct.usage" || -e "$dir/cpu.stat") {
            my $moved = grep { join_cgroup($dir, $_) }
                             $t->pid, $t->worker_pids(1);

            if ($moved == 1 + $t->{workers}) {
                $t->{cgroup} = $dir;
                return;
            }
        }

        rmdir $dir;
    }
}

sub join_cgroup {
    my ($dir, $pid) = @_;

    open my $fh, '>', "$dir/cgroup.procs" or return 0;
    return syswrite($fh, $pid) ? 1 : 0;
}


# the port of a flow that moves

sub run_gap {
    my ($s, $p) = @_;

    my $t = start($p);
    my @all;

    for (1 .. $opt->{repeats}) {
        my $flow = "f$p->{watch}";
        my $was = state($t)->{pid}{$flow};
        my $gap = $p->{gap}->($t, FIRST + $p->{watch});
        my $is = state($t)->{pid}{$flow};

        die "the flow did not move\n" if !defined $gap || $is == $was;

        push @all, $gap;

        $t->poll(sub { $t->worker_pids(1) == 2 }, 30);
    }

    end($t);

    return { closed => \@all };
}

# Induction requests (draft-sharabayko-srt-01, 3.2.1 and 4.3.1.1), one a
# millisecond: answers carry the socket id that a request had.

sub gap_srt {
    my ($t, $port) = @_;

    my $socket = to($port);
    my (@sent, @answered);
    my $signal;
    my $start = time();
    my $next = $start;
    my $row = 0;
    my $buf;

    for ( ;; ) {
        my $now = time();

        if ($now >= $next) {
            $next = max($next + 0.001, $now);
            push @sent, $now;
            $socket->send(pack 'NNNN NnnNNNNNN x16', 1 << 31, 0, 0, 0,
                          4, 0, 2, 0, 1500, 8192, 1, scalar(@sent), 0);
        }

        # a port that is closed shows as an error, too

        while (defined $socket->recv($buf, 2048, Socket::MSG_DONTWAIT())
               || $!{ECONNREFUSED})
        {
            next unless defined $buf && length $buf >= 16;
            my $id = unpack 'x12 N', $buf;
            $answered[$id - 1] = 1 if $id >= 1 && $id <= @sent;
            $buf = undef;
        }

        if (!$signal && $now - $start > 0.2) {
            $signal = $now;
            kill 'HUP', $t->pid;
        }

        # long enough for the old workers to have gone

        if ($signal && $now - $signal > 1
            && 200 == grep { $answered[-1 - $_ - 20] }
                           0 .. (@answered > 220 ? 199 : -1))
        {
            last;
        }

        return undef if $signal && $now - $signal > 20;

        select(undef, undef, undef, 0.0002);
    }

    return longest(map { $sent[$_] } grep { $answered[$_] } 0 .. $#answered);
}

# the socket is handed over: between two looks at it nothing is missed but a
# port that is free for less than the time between them

sub gap_udp {
    my ($t, $port) = @_;

    my ($last, $signal, $gone);
    my $gap = 0;
    my $start = time();

    for ( ;; ) {
        my $is = inode($port);
        my $now = time();

        if ($is) {
            $gap = max($gap, $now - $last) if $gone;
            $last = $now;
        }

        $gone = !$is;

        if (!$signal && $now - $start > 0.2) {
            $signal = $now;
            kill 'HUP', $t->pid;
        }

        return $gap if $signal && $is && $now - $signal > 1.5;
        return undef if $signal && $now - $signal > 20;

        select(undef, undef, undef, 0.0002);
    }
}

sub longest {
    my ($last, @rest) = @_;

    my $gap = 0;

    for my $time (@rest) {
        $gap = max($gap, $time - $last);
        $last = $time;
    }

    return $gap;
}

# a worker that is killed

sub run_kill {
    my ($s, $p) = @_;

    local $p->{live} = 1;

    my $t = start($p);
    my $in = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => OUT,
                                 Type => SOCK_DGRAM) or die "bind: $@\n";
    my $readable = IO::Select->new($in);
    my %all;

    send_live($t, $p);

    for (1 .. $opt->{repeats}) {
        my $pid = state($t)->{pid};

        my %port = (udp => FIRST);

        # in the same worker, unless another has once been faster

        $port{srt} = FIRST + 2 if $pid->{f2} == $pid->{f0};

        my %inode = map { ($_ => inode($port{$_})) } keys %port;
        my (%bound, $buf);

        # what is on its way; the new owner's socket has another port

        my $before = 0;

        while ($readable->can_read($before ? 0 : 5)) {
            $before = $in->recv($buf, 2048) // '';
        }

        my $start = time();
        kill 'KILL', $pid->{f0};

        while (keys %bound < 1 + keys %port) {

            while ($readable->can_read(0)) {
                my $from = $in->recv($buf, 2048) // $before;
                $bound{packet} ||= time() - $start if $from ne $before;
            }

            for my $k (grep { !$bound{$_} } keys %port) {
                my $is = inode($port{$k});
                $bound{$k} = time() - $start if $is && $is != $inode{$k};
            }

            die "nobody runs the flows\n" if time() - $start > 20;

            select(undef, undef, undef, 0.0003);
        }

        push @{ $all{$_} }, $bound{$_} for keys %bound;

        $t->poll(sub {
            my $s = state($t);
            $s && !grep { !$_ } values %{ $s->{pid} };
        }, 20);
    }

    end($t);

    return \%all;
}

sub print_many {
    my ($s, $programs, $results) = @_;

    my @columns = @{ $s->{columns} };

    print "### $s->{title}\n\n";
    print '| flow |', (map { " $_->[1], p50 | worst |" } @columns), " of |\n";
    print '|---|', '---:|---:|' x @columns, "---:|\n";

    for my $p (@$programs) {
        my @ok = ok($results->{$p->{name}})
            or failed($p, $results, 1 + 2 * @columns), next;

        my $n;
        print "| $p->{name} |";

        for my $c (@columns) {
            my @all = sort { $a <=> $b } map { @{ $_->{$c->[0]} } } @ok;
            $n = @all;
            printf ' %s | %s |', ms($all[$#all / 2]), ms($all[-1]);
        }

        print " $n |\n";
    }

    print "\n";
}


# small things

sub to {
    my ($port) = @_;

    return IO::Socket::IP->new(PeerHost => '127.0.0.1', PeerPort => $port,
                               Type => SOCK_DGRAM) || die "socket: $@\n";
}

# of the UDP socket that is bound there, 0 if none is

sub inode {
    my ($port) = @_;

    my $hex = sprintf '%04X', $port;

    return slurp('/proc/net/udp')
        =~ /^\s*\d+: [0-9A-F]+:$hex (?:\S+\s+){7}(\d+)/m ? $1 : 0;
}

sub slurp {
    my ($path) = @_;

    open my $fh, '<', $path or return '';
    local $/;

    return scalar <$fh> // '';
}

sub ok {
    my ($runs) = @_;

    return grep { !$_->{failed} } @$runs;
}

sub failed {
    my ($p, $results, $columns) = @_;

    my $why = $results->{$p->{name}}[0]{failed};
    $why =~ s/\s+/ /g;

    print "| $p->{name} ", '| ' x ($columns - 1), "| $why |\n";
}

sub values_of {
    my ($key, @runs) = @_;

    return sort { $a <=> $b } grep { defined } map { $_->{$key} } @runs;
}

sub median {
    my @v = values_of(@_);

    return @v ? ($v[$#v / 2] + $v[@v / 2]) / 2 : undef;
}

sub worst {
    my @v = values_of(@_);

    return @v ? $v[-1] : undef;
}

sub ms {
    my ($s) = @_;

    return '' unless defined $s;
    return sprintf $s < 0.01 ? '%.1f ms' : '%.0f ms', $s * 1000;
}


package Reload::MC;

our @ISA = ('MC');

sub config_text {
    my $self = shift;

    my $text = $self->SUPER::config_text(@_);

    $text =~ s/worker_connections 1024/worker_connections 8192/;
    $text =~ s/^load_module .*\n//m if $self->{plain};

    return $text;
}


1;
