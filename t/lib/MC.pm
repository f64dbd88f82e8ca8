package MC;

=head1 NAME

MC - runs nginx with flows in a prefix of its own, for the tests

=head1 SYNOPSIS

    use lib 't/lib';
    use MC;

    my $t = MC->new(flows => <<'END');
    mc_flow a {
        mc_source srt://127.0.0.1:%%in%%;
        mc_output o udp://127.0.0.1:%%out%%;
    }
    END

    my $recv = $t->mcpkt('recv', 'udp://127.0.0.1:%%out%%', '--packets', 500);
    my $sent = $t->mcpkt_run('send', 'srt://127.0.0.1:%%in%%',
                             '--packets', 500);
    is($recv->json->{lost}, 0, 'nothing lost');

    $t->finish;
    done_testing();

%%NAME%% in configurations, URLs and arguments is a port, allocated at its
first use and the same ever after; %%DIR%% is the prefix.

=head1 ENVIRONMENT

MC_SO, the module (objs/ngx_mc_module.so, with MC_ASAN that in objs/asan);
MC_ASAN=1, preload the sanitizer; MC_NGINX, the binary; MC_TOOLS, the folder
of mcpkt (objs/tools); MC_KEEP=1, keep the prefix; MC_DEBUG=1, error_log at
debug.

=cut

use strict;
use warnings;

use Carp qw/ croak /;
use Cwd qw/ abs_path /;
use Fcntl qw/ :flock O_CREAT O_RDWR /;
use File::Path qw/ remove_tree /;
use File::Spec;
use File::Temp qw/ tempdir /;
use HTTP::Tiny;
use IO::Socket::IP;
use JSON::PP;
use POSIX qw/ WNOHANG _exit /;
use Socket qw/ SOCK_DGRAM SOCK_STREAM SOMAXCONN /;
use Test::More;
use Time::HiRes qw/ time sleep /;

our $TOP = abs_path(__FILE__);
$TOP =~ s!/t/lib/MC\.pm$!!;

my @instances;
my $owner = $$;

# An interrupted test must reach END, or it leaves its children behind.

for my $sig (qw/ INT TERM HUP /) {
    $SIG{$sig} = sub { exit 1 } unless $SIG{$sig};
}


=head1 STARTING

=head2 new(%args)

C<flows>, text inside the configuration template, or C<conf>, a whole
configuration.  C<main> and C<http_conf> are added at the main level and
inside server{}.  C<workers> (1), C<control> (mc_status control=on), C<http>
(1), C<log> (info), C<events>, C<user> (www-data, when root), C<files>, a hash
of files written to the prefix first, C<start> (1).  C<workers> may be "auto".
C<daemon> (0): nginx is not a child of the test, and hears the signals of a
binary upgrade, which it does not with "daemon off".  C<master> (1), 0 for
master_process off, where the one process counts as the worker.  C<rtmp>,
text inside rtmp{}, or '' for none: loads nginx-rtmp and the RTMP module.
C<modules>, names of other packaged modules, such as "ngx_stream_module".

=cut

sub new {
    my ($class, %args) = @_;

    my $self = bless {
        workers => 1, http => 1, log => 'info', start => 1, control => 0,
        main => '', http_conf => '', events => '', user => 'www-data',
        daemon => 0, master => 1, modules => [], %args,
        ports => {}, masters => [], procs => [], allowed => [], seq => 0,
        runs => 0,
    }, $class;

    # inside a user namespace there is only one user

    $self->{user} = '' if ($ENV{MC_OWN_NETWORK} || '') eq 'user';

    $self->{log} = 'debug' if $ENV{MC_DEBUG};
    $self->{asan} = $ENV{MC_ASAN} ? 1 : 0;

    $self->{so} = $ENV{MC_SO}
        || "$TOP/objs/" . ($self->{asan} ? 'asan/' : '') . 'ngx_mc_module.so';
    $self->{so} = File::Spec->rel2abs($self->{so});
    $self->{so} = abs_path($self->{so}) if -e $self->{so};

    $self->{nginx} = $ENV{MC_NGINX}
        || (grep { -x } map { "$_/nginx" } qw( /usr/sbin /usr/bin ))[0]
        || 'nginx';

    $self->{dir} = tempdir('mc-test-XXXXXX', TMPDIR => 1, CLEANUP => 0);
    $self->{dir} = abs_path($self->{dir});

    # workers run as another user and write sanitizer reports here

    chmod 0755, $self->{dir};
    mkdir "$self->{dir}/asan";
    chmod 01777, "$self->{dir}/asan";

    push @instances, $self;

    while (my ($name, $text) = each %{ $self->{files} || {} }) {
        $self->write_file($name, $text);
    }

    $self->start if $self->{start};

    return $self;
}

sub dir { $_[0]{dir} }

=head2 write_file(name, text), read_file(name)

Files in the prefix; ports are filled in.

=cut

sub write_file {
    my ($self, $name, $text) = @_;

    my $path = "$self->{dir}/$name";

    if ($name =~ m!/!) {
        my ($folder) = $path =~ m!^(.*)/!;
        File::Path::make_path($folder);
    }

    open my $fh, '>', $path or croak "cannot write $path: $!";
    print $fh $self->expand($text);
    close $fh or croak "cannot write $path: $!";

    return $path;
}

sub read_file {
    my ($self, $name) = @_;

    my $path = $name =~ m!^/! ? $name : "$self->{dir}/$name";

    open my $fh, '<', $path or return '';
    local $/;
    my $text = <$fh>;

    return defined $text ? $text : '';
}

sub expand {
    my ($self, $text) = @_;

    $text =~ s/%%DIR%%/$self->{dir}/g;
    $text =~ s/%%([a-z0-9_]+)%%/$self->port($1)/gei;

    return $text;
}

sub config_text {
    my ($self, %args) = @_;

    my %c = (%$self, %args);

    my $globals = '';
    $globals .= "load_module /usr/lib/nginx/modules/$_.so;\n"
        for @{ $c{modules} }, defined $c{rtmp} ? 'ngx_rtmp_module' : ();
    $globals .= "load_module $c{so};\n";

    if (defined $c{rtmp}) {
        (my $so = $c{so}) =~ s/ngx_mc_module/ngx_mc_rtmp_module/;
        $globals .= "load_module $so;\n";
    }

    $globals .= $c{daemon} ? "daemon on;\n" : "daemon off;\n";
    $globals .= "master_process off;\n" unless $c{master};

    # the master of a binary upgrade gets nothing else of the environment

    $globals .= "env LD_PRELOAD;\nenv ASAN_OPTIONS;\nenv UBSAN_OPTIONS;\n"
        if $c{daemon} && $c{asan};

    $globals .= "user $c{user};\n" if $> == 0 && $c{user};
    $globals .= "pid $c{dir}/nginx.pid;\n";
    $globals .= "error_log $c{dir}/error.log $c{log};\n";

    if (defined $args{conf} || (defined $self->{conf} && !defined $args{flows}))
    {
        my $text = $c{conf};
        $text =~ s/%%GLOBALS%%/$globals/;
        return $self->expand($text);
    }

    my $http = '';

    if ($c{http}) {
        my $control = $c{control} ? ' control=on' : '';

        $http = <<"END";
http {
    access_log off;
    client_body_temp_path $c{dir}/tmp_body;
    proxy_temp_path $c{dir}/tmp_proxy;
    fastcgi_temp_path $c{dir}/tmp_fastcgi;
    uwsgi_temp_path $c{dir}/tmp_uwsgi;
    scgi_temp_path $c{dir}/tmp_scgi;

    server {
        listen 127.0.0.1:%%http%%;
        location /mc { mc_status$control; }
        $c{http_conf}
    }
}
END
    }

    my $flows = defined $c{flows} ? $c{flows} : '';
    my $rtmp = defined $c{rtmp} && length $c{rtmp} ? "rtmp { $c{rtmp} }" : '';

    # an ordinary user cannot open the default one

    $rtmp =~ s/\{/{ access_log off;/
        unless $rtmp =~ /access_log/;

    return $self->expand(<<"END");
${globals}worker_processes $c{workers};
events { worker_connections 1024; $c{events} }
$c{main}
$flows
$http
$rtmp
END
}

sub write_conf {
    my ($self, %args) = @_;

    for my $key (keys %args) {
        $self->{$key} = $args{$key};
    }

    delete $self->{conf} if defined $args{flows} && !defined $args{conf};

    $self->write_file('nginx.conf', $self->config_text);
}

=head2 start(), stop(['stop'|'quit']), reload(%args), hup(%args)

C<stop> returns the seconds it took.  C<reload> takes what C<new> takes
(C<flows>, C<main> and so on), writes the configuration and waits until new
workers run; C<<wait => 0>> for a reload that is expected to be refused.
Returns exit status and output of C<nginx -s reload>.  C<hup> writes the
configuration and signals the master, without that other process and without
waiting.

=cut

sub start {
    my ($self) = @_;

    croak 'already running' if $self->{pid};

    $self->write_conf;
    $self->{runs}++;

    my $errfile = "$self->{dir}/nginx.stderr";

    $self->{pid} = $self->_fork(
        sub {
            $self->_sanitizer_env;
            open STDOUT, '>', '/dev/null';
            open STDERR, '>>', $errfile;
        },
        $self->{nginx}, '-p', $self->{dir}, '-c', "$self->{dir}/nginx.conf");

    if ($self->{daemon}) {
        my $parent = delete $self->{pid};

        $self->poll(sub { waitpid($parent, WNOHANG) == $parent }, 15, 0.01);
        $self->poll(sub { $self->{pid} = $self->_pid_file('nginx.pid') },
                    5, 0.01)
            unless $?;
    }

    my $ok = $self->poll(sub {
        return 'gone' if !$self->_master_alive;
        return '' unless $self->worker_pids >= $self->nworkers;
        return 'up' unless $self->{http};
        my $r = $self->get('');
        return $r->{status} == 200 ? 'up' : '';
    }, 15);

    return 1 if $ok && $ok eq 'up';

    my $why = $ok ? 'nginx exited' : 'nginx does not answer';
    diag($self->read_file('nginx.stderr'));
    diag($self->_tail);
    BAIL_OUT($why) if $ENV{MC_BAIL};
    croak $why;
}

sub running { $_[0]{pid} && $_[0]->_master_alive }
sub pid { $_[0]{pid} }

sub _master_alive {
    my ($self) = @_;

    return 0 unless $self->{pid};

    if ($self->{daemon}) {
        return 1 if alive($self->{pid});
        delete $self->{pid};
        return 0;
    }

    if (waitpid($self->{pid}, WNOHANG) == $self->{pid}) {
        $self->{exit} = $?;
        delete $self->{pid};
        return 0;
    }

    return 1;
}

sub nworkers {
    my ($self) = @_;

    return 1 unless $self->{master};
    return $self->{workers} unless $self->{workers} eq 'auto';
    return POSIX::sysconf(84);     # _SC_NPROCESSORS_ONLN, which POSIX lacks
}

sub stop {
    my ($self, $how) = @_;

    return 0 unless $self->running;

    my $start = time();

    kill((($how || 'stop') eq 'quit' ? 'QUIT' : 'TERM'), $self->{pid});

    unless ($self->poll(sub { !$self->_master_alive }, 15, 0.01)) {
        fail('nginx stops');
        kill 'KILL', $self->worker_pids(1), $self->{pid};
        waitpid $self->{pid}, 0 unless $self->{daemon};
        delete $self->{pid};
    }

    return time() - $start;
}

sub reload {
    my ($self, %args) = @_;

    my $wait = exists $args{wait} ? delete $args{wait} : 1;

    $self->write_conf(%args);

    my %old = map { $_ => 1 } $self->worker_pids;

    my ($exit, $out) = $self->_nginx('-s', 'reload');

    if ($wait && $exit == 0) {
        $self->poll(sub {
            my @new = grep { !$old{$_} } $self->worker_pids;
            @new >= $self->nworkers;
        }, 15) or fail('new workers run after a reload');
    }

    return ($exit, $out);
}

sub hup {
    my ($self, %args) = @_;

    $self->write_conf(%args);

    return kill 'HUP', $self->{pid};
}

=head2 upgrade(%args), master(pid), MC::alive(pid)

C<upgrade> takes what C<new> takes, writes the configuration, sends USR2 and
waits until the workers of a second master run, which all methods are about
from then on.  It answers HTTP on another port, so that one knows whom one
asks.  Returns its pid and that of the old one; C<master> goes over to
another one that is still there.  With C<daemon> only.

=cut

sub upgrade {
    my ($self, %args) = @_;

    my $old = $self->{pid};

    unless (grep { $_->{pid} == $old } @{ $self->{masters} }) {
        push @{ $self->{masters} },
            { pid => $old, http => $self->port('http') };
    }

    delete $self->{ports}{http};
    $self->write_conf(%args);

    kill 'USR2', $old;

    my $new;

    $self->poll(sub {
        $new = $self->_pid_file('nginx.pid');
        $new && $new != $old
            && $self->_pid_file('nginx.pid.oldbin') == $old;
    }, 15, 0.01) or croak 'no new master: ' . $self->_tail;

    push @{ $self->{masters} },
        { pid => $new, http => $self->port('http') };

    $self->{pid} = $new;

    $self->poll(sub {
        return 0 unless $self->worker_pids >= $self->nworkers;
        return 1 unless $self->{http};
        return $self->get('')->{status} == 200;
    }, 15, 0.01) or croak 'the new master does not answer: ' . $self->_tail;

    return ($new, $old);
}

sub master {
    my ($self, $pid) = @_;

    my ($m) = grep { $_->{pid} == $pid } @{ $self->{masters} }
        or croak "no master $pid";

    $self->{pid} = $pid;
    $self->{ports}{http} = $m->{http};
}

sub _pid_file {
    my ($self, $name) = @_;

    return $self->read_file($name) =~ /^(\d+)/ ? $1 : 0;
}

# a zombie that nobody has waited for is dead enough

sub alive {
    my ($pid) = @_;

    return _slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) [^ZX]/s;
}


=head2 test_conf($flows, %args)

Exit status and output of C<nginx -t> with these flows, or with
C<<conf => TEXT>>; needs no running nginx.

=cut

sub test_conf {
    my ($self, $flows, %args) = @_;

    $args{flows} = $flows if defined $flows;
    $self->write_file('test.conf', $self->config_text(%args));

    return $self->_nginx('-t', '-c', "$self->{dir}/test.conf");
}

sub _nginx {
    my ($self, @args) = @_;

    unshift @args, '-c', "$self->{dir}/nginx.conf"
        unless grep { $_ eq '-c' } @args;

    my $out = "$self->{dir}/cmd.out";

    my $pid = $self->_fork(
        sub {
            $self->_sanitizer_env;
            open STDOUT, '>', $out;
            open STDERR, '>&', \*STDOUT;
        },
        $self->{nginx}, '-p', $self->{dir}, @args);

    my $done = $self->poll(sub { waitpid($pid, WNOHANG) == $pid }, 30, 0.01);
    my $status = $?;

    unless ($done) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
        return (-1, 'nginx ' . join(' ', @args) . ' hangs');
    }

    return ($status >> 8 || ($status & 127 ? 128 + ($status & 127) : 0),
            $self->read_file('cmd.out'));
}

sub _sanitizer_env {
    my ($self) = @_;

    return unless $self->{asan};

    my $ldd = `ldd $self->{so} 2>/dev/null`;
    my ($lib) = $ldd =~ m!=>\s*(\S*(?:libasan|clang_rt\.asan)\S*)!;
    my ($cxx) = $ldd =~ m!=>\s*(\S*libstdc\+\+\S*)!;

    unless ($lib) {
        $lib = `gcc -print-file-name=libasan.so 2>/dev/null`;
        chomp $lib;
    }

    # nginx is no C++ program: the sanitizer must see libstdc++ at its start,
    # or the first exception inside libsrt ends in a failed check

    $ENV{LD_PRELOAD} = join ' ', $lib, $cxx || 'libstdc++.so.6';
    $ENV{ASAN_OPTIONS} = "log_path=$self->{dir}/asan/report:detect_leaks=0"
        . ':abort_on_error=0:detect_odr_violation=0';
    $ENV{UBSAN_OPTIONS} = "log_path=$self->{dir}/asan/report"
        . ':print_stacktrace=1';
}


=head1 NETWORK

=head2 MC::own_network()

Starts the test again in a network namespace of its own, with lo and a pair
mcv0 (10.77.0.1, fd77::1) and mcv1, as IPv6 multicast does not work over lo.
Skips the test where that is not allowed.  Call it first.

=cut

sub own_network {
    return if $ENV{MC_OWN_NETWORK};

    my @unshare = $> == 0 ? ('unshare', '-n') : ('unshare', '-U', '-r', '-n');

    my $setup = 'ip link set lo up'
        . ' && ip link add mcv0 type veth peer name mcv1'
        . ' && ip link set mcv0 up && ip link set mcv1 up'
        . ' && ip addr add 10.77.0.1/24 dev mcv0'
        . ' && ip -6 addr add fd77::1/64 dev mcv0 nodad';

    if (system("@unshare sh -c '$setup' >/dev/null 2>&1")) {
        plan(skip_all => 'cannot make a network namespace');
    }

    $ENV{MC_OWN_NETWORK} = $> == 0 ? 'root' : 'user';

    exec @unshare, 'sh', '-c', "($setup) && exec \"\$0\" \"\$@\"", $^X,
         (map { "-I$_" } @INC), $0, @ARGV;
}


=head1 PORTS

=head2 port(name[, n])

The port of that name, free for TCP and UDP when it is first asked for; with
C<n>, the first of n in a row.

=cut

my ($port_lock, $port_next, $port_end);

sub port {
    my ($self, $name, $n) = @_;

    $n ||= 1;

    return $self->{ports}{$name} if defined $name && $self->{ports}{$name};

    for (1 .. 3000) {
        _port_block($n) if !$port_lock || $port_next + $n > $port_end;

        my $first = $port_next;
        $port_next += $n;

        next if grep { !_port_free($_) } $first .. $first + $n - 1;

        $self->{ports}{$name} = $first if defined $name;
        return $first;
    }

    croak 'no free ports';
}

# A block of ports belongs to the process that holds its lock.  Blocks lie
# below the ports the kernel hands out by itself.

sub _port_block {
    my ($n) = @_;

    my $size = 250;
    my ($low, $high) = (10000, 32500);
    my $blocks = int(($high - $low) / $size);
    my $start = defined $port_end ? ($port_end - $low) / $size : $$ * 7;

    $port_lock = undef;

    for my $i (0 .. $blocks - 1) {
        my $block = ($start + $i) % $blocks;
        my $path = File::Spec->tmpdir . "/mc-test-ports.$>.$block";

        sysopen(my $fh, $path, O_CREAT | O_RDWR, 0600) or next;
        flock($fh, LOCK_EX | LOCK_NB) or next;

        $port_lock = $fh;
        $port_next = $low + $block * $size;
        $port_end = $port_next + $size;
        return;
    }

    croak 'no free block of ports';
}

sub _port_free {
    my ($port) = @_;

    for my $addr ('0.0.0.0', '::') {
        for my $type (SOCK_STREAM, SOCK_DGRAM) {
            my $s = IO::Socket::IP->new(
                LocalHost => $addr, LocalPort => $port, Type => $type,
                V6Only => 1,
                $type == SOCK_STREAM ? (Listen => 1, ReuseAddr => 1) : (),
            );

            # a machine without IPv6 has no IPv6 ports to be taken

            return 0 if !$s && !($addr eq '::' && $!{EAFNOSUPPORT});
            close $s if $s;
        }
    }

    return 1;
}


=head1 ASKING

=head2 get(path), post(path), status([path])

C<get> and C<post> return HTTP::Tiny's answer for a path below the status
location, C<status> the decoded JSON or undef.  C<flow(name)>,
C<source(flow[, pipeline])>, C<output(flow, name[, pipeline])> are parts of it.

=cut

sub url {
    my ($self, $path) = @_;

    return 'http://127.0.0.1:' . $self->port('http') . '/mc'
        . (defined $path ? $path : '');
}

sub http {
    my ($self, $method, $path, %options) = @_;

    # no proxy: the environment's would answer for loopback too

    my $http = HTTP::Tiny->new(timeout => 10, proxy => undef,
                               http_proxy => undef, https_proxy => undef);

    return $http->request($method, $self->url($path), \%options);
}

sub get { my $self = shift; $self->http('GET', @_) }
sub post { my $self = shift; $self->http('POST', @_) }

sub status {
    my ($self, $path) = @_;

    my $r = $self->get($path);

    return undef unless $r->{status} == 200;

    my $data = eval { decode_json($r->{content}) };
    diag("status is no JSON: $@ $r->{content}") if $@;

    return $data;
}

sub flow { $_[0]->status("/flows/$_[1]") }

sub source {
    my ($self, $flow, $pipeline) = @_;

    return $self->_endpoint($flow, 'sources', undef, $pipeline);
}

sub output {
    my ($self, $flow, $name, $pipeline) = @_;

    return $self->_endpoint($flow, 'outputs', $name, $pipeline);
}

sub _endpoint {
    my ($self, $flow, $list, $name, $pipeline) = @_;

    my $f = $self->flow($flow) or return undef;

    my ($e) = grep {
        $_->{pipeline} eq ($pipeline || 'primary')
            && (!defined $name || $_->{name} eq $name)
    } @{ $f->{$list} || [] };

    return $e;
}

=head2 events(flow[, query])

The list of a flow's events, oldest first.

=cut

sub events {
    my ($self, $flow, $query) = @_;

    my $r = $self->status("/flows/$flow/events" . ($query ? "?$query" : ''));

    return $r ? @{ $r->{events} } : ();
}

=head2 wait_for(sub { ... }, seconds, name)

Polls until the sub returns something true, and returns that.  A name makes it
a test.  C<poll(sub, seconds, pause)> is the same without the test.

=cut

sub poll {
    my ($self, $sub, $deadline, $pause) = @_;

    my $end = time() + ($deadline || 10);

    for ( ;; ) {
        my $v = $sub->();
        return $v if $v;
        return $v if time() > $end;
        sleep($pause || 0.05);
    }
}

sub wait_for {
    my ($self, $sub, $deadline, $name) = @_;

    my $v = $self->poll($sub, $deadline);

    if (defined $name) {
        local $Test::Builder::Level = $Test::Builder::Level + 1;
        ok($v, $name) or diag($self->_tail);
    }

    return $v;
}

=head2 log(), log_mark(), wait_log(regex, seconds, name)

error.log, all or since C<log_mark>.

=cut

sub log {
    my ($self) = @_;

    return substr($self->read_file('error.log'), $self->{mark} || 0);
}

sub log_mark {
    my ($self) = @_;

    $self->{mark} = length $self->read_file('error.log');
}

sub wait_log {
    my ($self, $re, $deadline, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return $self->wait_for(sub { $self->log =~ $re }, $deadline, $name);
}

sub _tail {
    my ($self) = @_;

    my @lines = split /\n/, $self->read_file('error.log');
    @lines = grep { !/\[debug\]/ } @lines;
    splice @lines, 0, @lines - 15 if @lines > 15;

    return join("\n", 'error.log ends:', @lines);
}

=head2 worker_pids([all]), exiting_pids()

Workers of the current configuration, or with C<all> those still exiting too.

=cut

sub worker_pids {
    my ($self, $all) = @_;

    return () unless $self->{pid};
    return ($self->{pid}) unless $self->{master};

    my @pids = grep {
        my $title = _slurp("/proc/$_/cmdline");
        $title =~ /worker process/ && ($all || $title !~ /shutting down/);
    } _children($self->{pid});

    return wantarray ? sort { $a <=> $b } @pids : scalar @pids;
}

sub exiting_pids {
    my ($self) = @_;

    my %current = map { $_ => 1 } $self->worker_pids;

    return grep { !$current{$_} } $self->worker_pids(1);
}

sub _slurp {
    my ($path) = @_;

    open my $fh, '<', $path or return '';
    local $/;
    my $text = <$fh>;

    return defined $text ? $text : '';
}

sub _children {
    my ($pid) = @_;

    my @children;

    for my $stat (glob '/proc/[0-9]*/stat') {
        my $text = _slurp($stat);
        my ($child, $state, $ppid) = $text =~ /^(\d+) \(.*\) (\S) (\d+)/s
            or next;
        push @children, $child if $ppid == $pid && $state ne 'Z';
    }

    return @children;
}

=head2 cpu(), rss(), threads()

CPU seconds of the master and all workers so far; resident KiB and threads of
the workers.  C<MC::cpu_of(pids)>, C<MC::rss_of>, C<MC::threads_of> are the
same for any processes.

=cut

sub cpu {
    my ($self) = @_;

    return cpu_of($self->{pid}, $self->worker_pids(1));
}

sub rss {
    my ($self) = @_;

    return rss_of($self->worker_pids(1));
}

sub threads {
    my ($self) = @_;

    return threads_of($self->worker_pids(1));
}

sub cpu_of {
    my $s = 0;

    for my $pid (@_) {
        my @tasks = glob "/proc/$pid/task/*/schedstat";
        my $ns = 0;

        for my $task (@tasks) {
            $ns += $1 if _slurp($task) =~ /^(\d+)/;
        }

        if ($ns) {
            $s += $ns / 1e9;
            next;
        }

        # without the scheduler's own count: ticks

        my $text = _slurp("/proc/$pid/stat");
        $text =~ s/^.*\) //s;
        my @f = split ' ', $text;
        $s += ($f[11] + $f[12]) / POSIX::sysconf(&POSIX::_SC_CLK_TCK)
            if @f > 12;
    }

    return $s;
}

sub rss_of {
    my $kib = 0;

    for my $pid (@_) {
        $kib += $1 if _slurp("/proc/$pid/status") =~ /^VmRSS:\s+(\d+)/m;
    }

    return $kib;
}

sub threads_of {
    my $n = 0;

    for my $pid (@_) {
        $n += $1 if _slurp("/proc/$pid/status") =~ /^Threads:\s+(\d+)/m;
    }

    return $n;
}


=head1 PROGRAMS

=head2 spawn(name, command...)

Runs a program under timeout (C<$t->{limit}> seconds, 120) and returns an
MC::Process: C<pid>, C<out>, C<err>, C<json> (the last line that is an object,
after waiting for the end), C<running>, C<wait(seconds)> (exit status, undef
while it runs), C<wait_out(regex, seconds)>, C<signal(name)>, C<stop>.

=head2 background(name, sub)

Runs the sub in a process of its own, as an MC::Process whose C<json> is what
the sub returned, a reference.  It is handed a function that tells whether it
is to end, as C<stop> and C<json> ask for.

=head2 run(command...)

Runs it to its end: exit status, standard output, standard error.

=head2 mcpkt(args...), mcpkt_run(args...)

The same for mcpkt; C<mcpkt> returns when a receiver or loop is ready, and
C<mcpkt_run> the decoded JSON.

=cut

sub spawn {
    my ($self, $name, @cmd) = @_;

    my $n = ++$self->{seq};
    my $limit = $self->{limit} || 120;

    @cmd = map { $self->expand($_) } @cmd;

    my $p = bless {
        t => $self, name => $name, cmd => [@cmd],
        file => "$self->{dir}/$n-$name",
    }, 'MC::Process';

    $p->{pid} = $self->_fork(
        sub {
            open STDIN, '<', '/dev/null';
            open STDOUT, '>', "$p->{file}.out";
            open STDERR, '>', "$p->{file}.err";
        },
        'timeout', '-k', 3, $limit, @cmd);

    push @{ $self->{procs} }, $p;

    return $p;
}

sub background {
    my ($self, $name, $sub) = @_;

    my $n = ++$self->{seq};

    my $p = bless {
        t => $self, name => $name, cmd => [], background => 1,
        file => "$self->{dir}/$n-$name",
    }, 'MC::Process';

    my $parent = $$;

    $p->{pid} = fork();
    croak "fork: $!" unless defined $p->{pid};

    if ($p->{pid} == 0) {
        my $end = 0;

        $SIG{TERM} = $SIG{INT} = sub { $end = 1 };
        chdir $self->{dir};

        open STDERR, '>', "$p->{file}.err";
        open my $fh, '>', "$p->{file}.out";

        my $result = eval { $sub->(sub { $end || getppid() != $parent }) };

        print STDERR $@ if $@;
        print $fh encode_json($result), "\n" if ref $result;
        close $fh;
        _exit($@ ? 1 : 0);
    }

    push @{ $self->{procs} }, $p;

    return $p;
}

sub run {
    my ($self, @cmd) = @_;

    my ($name) = $cmd[0] =~ m!([^/]+)$!;
    my $p = $self->spawn($name, @cmd);
    my $exit = $p->wait(($self->{limit} || 120) + 5);

    return ($exit, $p->out, $p->err);
}

sub tool {
    my ($self) = @_;

    my $dir = $ENV{MC_TOOLS} || "$TOP/objs/tools";

    unless ($ENV{MC_TOOLS} || our $made++) {

        # Two tests may start at once.  In a checkout of another user's what
        # is built must do.

        mkdir "$TOP/objs";

        if (open my $lock, '>', "$TOP/objs/.tools.lock") {
            flock $lock, LOCK_EX;
            my $out = `make -s -C '$TOP/t/tools' 2>&1`;
            croak "cannot build mcpkt: $out" if $?;

        } elsif (!-x "$dir/mcpkt") {
            croak "cannot build mcpkt in $TOP/objs: $!";
        }
    }

    return "$dir/mcpkt";
}

sub mcpkt {
    my ($self, $cmd, @args) = @_;

    my $p = $self->spawn("mcpkt-$cmd", $self->tool, $cmd, @args);

    if ($cmd =~ /^(?:recv|tap|.*loop)$/) {
        $p->wait_out(qr/ready/, 10);
    }

    return $p;
}

sub mcpkt_run {
    my ($self, @args) = @_;

    my $p = $self->mcpkt(@args);
    $p->wait(($self->{limit} || 120) + 5);

    return $p->json;
}

sub _fork {
    my ($self, $setup, @cmd) = @_;

    my $pid = fork();
    croak "fork: $!" unless defined $pid;

    if ($pid == 0) {
        $SIG{$_} = 'DEFAULT' for qw/ INT TERM HUP PIPE CHLD /;
        chdir $self->{dir};
        $setup->();
        { no warnings; exec { $cmd[0] } @cmd; }
        print STDERR "cannot run $cmd[0]: $!\n";
        _exit(127);
    }

    return $pid;
}


=head1 ENDING

=head2 allow(regex)

Lines of error.log that C<finish> is not to complain about, and with them
"exited on signal" of a worker that the test killed.

=head2 finish()

Stops everything and tests that nginx ended, that error.log has no alerts and
no crashed workers, that no sanitizer reported, that no process is left.

=cut

sub allow {
    my ($self, @re) = @_;

    push @{ $self->{allowed} }, @re;
}

sub finish {
    my ($self, %args) = @_;

    return if $self->{finished}++;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $_->stop for @{ $self->{procs} };

    $self->stop($args{how}) if $self->{pid};

    for my $pid (map { $_->{pid} } @{ $self->{masters} }) {
        $self->{pid} = $pid;
        $self->stop($args{how});
    }

    my @bad = grep {
        my $line = $_;
        $line =~ /\[(?:alert|emerg)\]|core dumped|exited on signal
                  |runtime\ error:|Sanitizer:/x
            && $line !~ /\[debug\]/
            && !grep { $line =~ $_ } @{ $self->{allowed} };
    } split /\n/, $self->read_file('error.log');

    ok(!@bad, 'no alerts in error.log')
        or diag(join "\n", @bad > 20 ? @bad[0 .. 19] : @bad);

    if ($self->{asan}) {
        my @reports = glob "$self->{dir}/asan/report.*";
        ok(!@reports, 'no sanitizer reports');
        diag(substr($self->read_file($_), 0, 6000)) for @reports;
    }

    # a process that is on its way out is not a leak

    my @left;
    $self->poll(sub { @left = $self->_leftovers; !@left }, 3);

    ok(!@left, 'no processes left')
        or diag(join "\n", map { "$_ " . _title($_) } @left);

    $self->_cleanup;
}

# Everything this test started has its prefix as working directory.

sub _leftovers {
    my ($self) = @_;

    my @left;

    for my $cwd (glob '/proc/[0-9]*/cwd') {
        my $to = readlink $cwd;
        next unless defined $to && $to =~ m!^\Q$self->{dir}\E(?:/|\s|$)!;

        my ($pid) = $cwd =~ m!/proc/(\d+)!;
        next if $pid == $$ || _slurp("/proc/$pid/stat") =~ /^\d+ \(.*\) Z/s;

        push @left, $pid;
    }

    return @left;
}

sub _title {
    my ($pid) = @_;

    my $title = _slurp("/proc/$pid/cmdline");
    $title =~ tr/\0/ /;

    return $title;
}

sub _cleanup {
    my ($self) = @_;

    return if $self->{cleaned}++;

    $_->stop for @{ $self->{procs} };

    if ($self->{pid}) {
        kill 'TERM', $self->{pid};
        $self->poll(sub { !$self->_master_alive }, 3, 0.02);
    }

    my @left = $self->_leftovers;
    kill 'KILL', @left if @left;

    if ($self->{pid} && !$self->{daemon}) {
        waitpid $self->{pid}, 0;
    }

    if ($ENV{MC_KEEP}
        || (!Test::More->builder->is_passing && !$ENV{HARNESS_ACTIVE}))
    {
        diag("kept: $self->{dir}");
        return;
    }

    remove_tree($self->{dir}, { error => \my $errors });
}

END {
    if ($$ == $owner) {
        my $status = $?;
        $_->_cleanup for @instances;
        $? = $status;
    }
}


package MC::Process;

use POSIX qw/ WNOHANG /;
use JSON::PP;

sub pid { $_[0]{pid} }
sub name { $_[0]{name} }
sub out { $_[0]{t}->read_file("$_[0]{file}.out") }
sub err { $_[0]{t}->read_file("$_[0]{file}.err") }

sub running {
    my ($self) = @_;

    return 0 if defined $self->{exit};

    if (waitpid($self->{pid}, WNOHANG) == $self->{pid}) {
        $self->{exit} = $? & 127 ? 128 + ($? & 127) : $? >> 8;
        return 0;
    }

    return 1;
}

sub wait {
    my ($self, $deadline) = @_;

    $self->{t}->poll(sub { !$self->running }, $deadline || 30, 0.02);

    return $self->{exit};
}

sub wait_out {
    my ($self, $re, $deadline) = @_;

    return $self->{t}->poll(sub {
        $self->out =~ $re || $self->err =~ $re || (!$self->running && 'gone');
    }, $deadline || 10, 0.01);
}

sub json {
    my ($self, $deadline) = @_;

    if ($self->{background}) {
        $self->stop;

    } elsif (!defined $self->wait($deadline || 30)) {
        $self->stop;
    }

    my ($line) = reverse grep { /^\{/ } split /\n/, $self->out;
    my $data = defined $line ? eval { decode_json($line) } : undef;

    unless (defined $data) {
        Test::More::diag("$self->{name}: no JSON, it said: " . $self->out
                         . $self->err);
        return {};
    }

    return $data;
}

# timeout passes TERM and INT on; others go to the program itself

sub program {
    my ($self) = @_;

    return (MC::_children($self->{pid}))[0];
}

sub signal {
    my ($self, $signal) = @_;

    return 0 unless $self->running;
    return kill $signal, $self->{pid} if $self->{background};

    my $pid = $signal =~ /^(?:TERM|INT)$/ ? $self->{pid} : $self->program;

    return $pid ? kill $signal, $pid : 0;
}

sub stop {
    my ($self) = @_;

    return $self->{exit} unless $self->running;

    kill 'TERM', $self->{pid};

    unless ($self->{t}->poll(sub { !$self->running }, 4, 0.02)) {
        my $program = $self->program;
        kill 'KILL', $program if $program;
        kill 'KILL', $self->{pid};
        $self->wait(2);
    }

    return $self->{exit};
}


1;
