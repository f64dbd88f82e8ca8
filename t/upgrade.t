#!/usr/bin/perl

# A binary upgrade and its rollback: the flows stay with the old master's
# workers, which lose nothing, until these are told to go; then the new
# master's have them at once, and never do both.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use POSIX qw/ _exit /;
use Test::More;
use Time::HiRes qw/ time sleep /;
use MC;

my $workers = 2;
my $rate = '2m';

# s that a slow machine may take; what is meant is 0.1 and 0.2, and of the
# times that flows change hands one has to show it

my $free = 1;
my $taken = 5;
my $quick = 0.6;

# s: more than a slow machine halts

my $latency = 1;


my %peers = (
    listener => {
        source => 'srt://:%%l_in%%',
        output => 'srt://:%%l_out%%',
        send   => 'srt://127.0.0.1:%%l_in%%',
        recv   => 'srt://127.0.0.1:%%l_out%%',
    },
    caller => {
        source => 'srt://127.0.0.1:%%c_in%%',
        output => 'udp://127.0.0.1:%%c_out%%',
        send   => 'srt://127.0.0.1:%%c_in%%?mode=listener',
        recv   => 'udp://127.0.0.1:%%c_out%%',
    },
    shared1 => {
        source => 'srt://:%%shared%%  streamid=one',
        output => 'udp://127.0.0.1:%%s1_out%%',
        send   => 'srt://127.0.0.1:%%shared%%?streamid=one',
        recv   => 'udp://127.0.0.1:%%s1_out%%',
    },
    shared2 => {
        source => 'srt://:%%shared%%  streamid=two',
        output => 'rtp://127.0.0.1:%%s2_out%%',
        send   => 'srt://127.0.0.1:%%shared%%?streamid=two',
        recv   => 'rtp://127.0.0.1:%%s2_out%%',
    },
    rtp => {
        source => 'rtp://127.0.0.1:%%r_in%%',
        output => 'rtp://127.0.0.1:%%r_out%%',
        send   => 'rtp://127.0.0.1:%%r_in%%',
        recv   => 'rtp://127.0.0.1:%%r_out%%',
    },
    udp => {
        source => 'udp://127.0.0.1:%%u_in%%',
        output => 'udp://127.0.0.1:%%u_out%%',
        send   => 'udp://127.0.0.1:%%u_in%%',
        recv   => 'udp://127.0.0.1:%%u_out%%',
    },

    # only a reload brings this one: the others are then in workers that leave

    late => {
        source => 'udp://127.0.0.1:%%late_in%%',
        output => 'udp://127.0.0.1:%%late_out%%',
        send   => 'udp://127.0.0.1:%%late_in%%',
        recv   => 'udp://127.0.0.1:%%late_out%%',
    },
);

my @names = sort keys %peers;
my @udp = qw/ late rtp udp /;
my @early = grep { $_ ne 'late' } @names;


sub flows {
    return join '', map {
        "mc_flow $_ { mc_source $peers{$_}{source};"
        . " mc_output o $peers{$_}{output}; }\n"
    } @_;
}

# flows that the new configuration does not have: nobody takes their ports

my $gone = <<'END';
mc_flow gone1 { mc_source udp://127.0.0.1:%%g_udp%%;
                mc_output o udp://127.0.0.1:%%g_out1%%; }
mc_flow gone2 { mc_source srt://:%%g_srt%%;
                mc_output o srt://:%%g_out2%%; }
END

my $t = MC->new(workers => $workers, log => 'notice', daemon => 1,
                main => "mc_latency ${latency}s;\n",
                flows => flows(@early) . $gone);

my $first = $t->pid;
my $lock = "$t->{dir}/nginx.pid.mc.lock";


# Who holds which lock, and which port: a process of its own looks all the
# time, and says when two have the same.  What changes while it looks is
# looked at again.

sub workers {
    return grep {
        MC::_slurp("/proc/$_/cmdline") =~ /^nginx: worker process/
    } $t->_leftovers;
}

sub held {
    my (@pids) = @_;

    my %held;

    for my $pid (@pids) {
        for my $fd (glob "/proc/$pid/fd/*") {
            next unless (readlink($fd) || '') =~ /\.mc\.lock/;

            my ($n) = $fd =~ m!([^/]+)$!;

            # the first and the last byte are the end of the line

            push @{ $held{$_} }, $pid
                for MC::_slurp("/proc/$pid/fdinfo/$n")
                    =~ /^lock:.* OFDLCK .* (\d+) \d+$/mg;
        }
    }

    return \%held;
}

sub bound {
    my (%ports) = @_;

    my %bound;

    for (split /\n/, MC::_slurp('/proc/net/udp')) {
        my ($addr, $port, $inode)
            = /^\s*\d+: (\w+):(\w+) (?:\S+\s+){7}(\d+)/ or next;
        $bound{hex $port}{$inode} = 1 if $ports{hex $port};
    }

    # a line may be read twice when others come and go

    return { map { $_ => [sort keys %{ $bound{$_} }] } keys %bound };
}

sub twice {
    my ($has) = @_;

    return map { "$_: @{ $has->{$_} }" }
           grep { @{ $has->{$_} } > 1 } sort keys %$has;
}

my $hunter;

sub hunt {
    my %ports = map { $_ => 1 } values %{ $t->{ports} };

    $hunter = fork();
    die "fork: $!" unless defined $hunter;
    return if $hunter;

    $SIG{$_} = 'DEFAULT' for qw/ INT HUP /;
    my $end;
    $SIG{TERM} = sub { $end = 1 };

    my ($looks, $most, %found, @pids) = (0, 0);
    my $parent = getppid();

    until ($end || getppid() != $parent) {
        @pids = workers() if $looks++ % 10 == 0;

        for my $look (sub { held(@pids) }, sub { bound(%ports) }) {
            my $has = $look->();
            $most = keys %$has if keys %$has > $most;

            my @twice = twice($has) or next;
            my %again = map { $_ => 1 } twice($look->());
            $found{$_} = 1 for grep { $again{$_} } @twice;
        }

        sleep 0.005;
    }

    open my $fh, '>', "$t->{dir}/hunter";
    print $fh "$looks $most\n", map { "$_\n" } sort keys %found;
    close $fh;
    _exit(0);
}

END {
    my $status = $?;
    kill 'KILL', $hunter if $hunter;
    $? = $status;
}


# streams, and what has become of them

my (%send, %recv);

sub begin {
    for my $name (@_) {
        $recv{$name} = $t->mcpkt('recv', $peers{$name}{recv}, '--seconds',
                                 100, '--wait', 30, '--reconnect', '--keep');
        $send{$name} = $t->mcpkt('send', $peers{$name}{send}, '--seconds',
                                 100, '--rate', $rate, '--wait', 30,
                                 '--reconnect');
    }
}

sub end {
    my (@flows) = @_;

    my %got;

    kill 'TERM', map { $_->program || () } @send{@flows};
    my %sent = map { $_ => $send{$_}->json } @flows;

    # what is under way arrives

    my $n = '';
    $t->poll(sub {
        my $s = $t->status or return 0;
        my $m = join ' ', map { $s->{flows}{$_}{outputs}[0]{packets} } @flows;
        my $same = $n eq $m;
        $n = $m;
        return $same;
    }, 3, 0.3);

    sleep($latency + 0.5) if grep { $_ eq 'listener' } @flows;

    kill 'TERM', map { $_->program || () } @recv{@flows};
    $got{$_} = [$sent{$_}, $recv{$_}->json] for @flows;
    delete @send{@flows};
    delete @recv{@flows};

    return %got;
}

# other senders: not before the ones that have ended are forgotten

sub begin_again {
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $t->poll(sub { !grep { live($_) } @udp }, 5);
    begin(@udp);
    $t->wait_for(sub { live(@names) }, 15, 'streams begin again');
}

sub live {
    my (@flows) = @_;

    my $s = $t->status or return 0;

    return !grep {
        my $f = $s->{flows}{$_};
        !$f || !$f->{pid} || $f->{sources}[0]{state} ne 'connected'
        || !$f->{outputs}[0]{packets}
    } @flows;
}

# of the lock files that a process has open

sub inodes {
    my ($pid) = @_;

    my %inodes = map { ((stat $_)[1] || 0) => 1 }
                 grep { (readlink($_) || '') =~ /\.mc\.lock/ }
                 glob "/proc/$pid/fd/*";

    return join ' ', sort keys %inodes;
}

my %before;

sub remember {
    my $s = $t->status;

    for (@names) {
        my $f = $s->{flows}{$_};
        $before{$_} = "$f->{pid} $f->{started_at}"
            . " $f->{sources}[0]{connections} $f->{outputs}[0]{connections}";
    }
}

sub untouched {
    my ($what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %was = %before;
    remember();
    is_deeply(\%before, \%was, $what);
    ok(live(@names), "$what: all are live");
}

# Until the flows run in workers of this master and those of UDP have their
# sources; the others call again when they find out.

my @changes;

sub arrive {
    my ($master, $start, $what, @flows) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    @flows = @names unless @flows;

    my ($all, %at);

    $t->poll(sub {
        my $s = $t->status or return 0;
        my %mine = map { $_ => 1 } $t->worker_pids;

        for (@flows) {
            my $f = $s->{flows}{$_};
            $at{$_} ||= time() - $start
                if $f->{pid} && $mine{$f->{pid}} && !$f->{exiting}
                   && (!/^(?:udp|rtp|late)$/
                       || $f->{sources}[0]{state} eq 'connected');
        }

        return keys %at == @flows;
    }, 10, 0.01);

    my ($worst) = sort { $b <=> $a } map { $_ || 99 } @at{@flows};

    note(sprintf "%s: all flows run after %.0f ms", $what, 1000 * $worst);
    push @changes, $worst;
    cmp_ok($worst, '<', $taken, "$what: the flows run in other workers")
        or diag(explain(\%at), $t->_tail);

    $t->wait_for(sub { live(@flows) }, 15, "$what: all streams go on");
}


# some live in workers that have been leaving since a reload, and one in a
# current worker

sub begin_all {
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    begin(@early);
    $t->wait_for(sub { live(@early) }, 15, 'streams begin');

    $t->poll(sub { !live('late') }, 5);
    $t->reload(flows => flows(@names) . $gone);

    $t->wait_for(sub {
        my $s = $t->status;
        $s->{flows}{late}{pid} && !$s->{flows}{late}{exiting}
        && !grep { !$s->{flows}{$_}{exiting} } @early;
    }, 10, 'in workers of before a reload');

    begin('late');
    $t->wait_for(sub { live(@names) }, 10, 'and in new ones');
}


begin_all();
hunt();
remember();

my $inode = inodes($first);


# an upgrade that comes to nothing

my ($second, $old) = $t->upgrade(flows => flows(@names));

is($old, $first, 'a second master');
is(inodes($second), $inode, 'has the same lock file');

my $s = $t->status;
is($s->{generation}, 1, 'its shared memory is new');
is(scalar(grep { $_->{pid} } values %{ $s->{flows} }), 0,
   'its workers run no flow');

$t->stop('quit');
$t->master($first);
$t->wait_for(sub { $t->_pid_file('nginx.pid') == $first }, 5,
             'the new master quits, the pid file is the old one again');
untouched('a failed upgrade');


# what is deleted and replaced is seen, and stays the one lock file

$t->log_mark;
unlink $lock or die "cannot delete $lock: $!";
$t->wait_log(qr/\[error\].*lock file "\Q$lock\E" was deleted, flows keep/, 5,
             'a lock file that is deleted is noticed');
$t->write_file('nginx.pid.mc.lock', '');
$t->wait_log(qr/\[error\].*lock file "\Q$lock\E" was replaced, flows keep/, 5,
             'and one that is replaced');

is(scalar(() = $t->log =~ /lock file .* was/g), 2, 'each is told once');

($second) = $t->upgrade(flows => flows(@names));

is(inodes($second), $inode, 'the new master has the one of the old');
is(join(' ', map { inodes($_) } $t->worker_pids),
   join(' ', ($inode) x $workers), 'as have its workers');
unlike($t->log, qr/no lock file of the running nginx/, 'by its descriptor');
is(scalar(grep { $_->{pid} } values %{ $t->status->{flows} }), 0,
   'and so they run no flow');

# for a second and more they try

my $looked = 0;
$t->poll(sub { ++$looked > 30 }, 5, 0.05);

is(scalar(grep { $_->{pid} } values %{ $t->status->{flows} }), 0,
   'nor do they later');

$t->master($first);
untouched('an upgrade');

# not a packet until now: all but one have gone through a reload and all
# through two upgrades

my %got = end(@names);

for my $name (@names) {
    my ($sent, $got) = @{ $got{$name} };

    my @bad = grep { $got->{$_} } qw/ lost duplicate reordered corrupted
                                      ts_lost ts_duplicate cc_errors
                                      sync_errors psi_errors /;
    push @bad, 'dropped' if $sent->{send_dropped};

    is("@bad", '', "$name: not a packet is lost") or diag(explain(\%got));
    is($got->{ts_packets}, $sent->{ts_packets}, "$name: all that was sent");
}


# the old workers go

kill 'QUIT', $second;
$t->wait_for(sub { $t->_pid_file('nginx.pid') == $first }, 10,
             'another upgrade is given up');

begin_all();

# a request holds one of the workers

my $held = IO::Socket::INET->new(PeerAddr => '127.0.0.1', Proto => 'tcp',
                                 PeerPort => $t->port('http'))
    or die "cannot connect: $!";
$held->print("GET /mc HTTP/1.1\r\nHost: a\r\n");

my @gone = $t->worker_pids(1);
cmp_ok(scalar @gone, '>', $workers, 'old workers are there');

($second) = $t->upgrade(flows => flows(@names));

my $start = time();
kill 'WINCH', $first;

my %bindable;

$t->poll(sub {
    for ($t->port('g_udp'), $t->port('g_srt'), $t->port('g_out2')) {
        $bindable{$_} ||= IO::Socket::INET->new(Proto => 'udp',
                                                LocalPort => $_)
                          && time() - $start;
    }

    return 3 == grep { $_ } values %bindable;
}, 5, 0.002);

my ($worst) = sort { $b <=> $a } map { $_ || 99 } values %bindable;
note(sprintf 'WINCH: ports can be bound after %.0f ms', 1000 * $worst);
cmp_ok($worst, '<', $free, 'WINCH: the ports are free');

$t->master($second);
arrive($second, $start, 'WINCH');

$t->wait_for(sub { 1 >= grep { MC::alive($_) } @gone }, 10,
             'WINCH: the old workers leave, but for one that has a request');
my ($lingers) = grep { MC::alive($_) } @gone;
ok($lingers, 'which stays');

sub lost {
    my ($what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %got = end(@udp);

    for my $name (@udp) {
        my ($sent, $got) = @{ $got{$name} };
        my $ms = 1000 * $got->{lost} / ($sent->{packets} / $sent->{seconds});

        note(sprintf '%s: %s: %d packets lost, %.0f ms', $what, $name,
                     $got->{lost}, $ms);
        cmp_ok($ms, '<', 1000 * $taken, "$what: $name: only a gap");
        is($got->{duplicate} + $got->{reordered}, 0,
           "$what: $name: nothing twice");
    }
}

lost('WINCH');
begin_again();


# the way back

kill 'HUP', $first;
$t->master($first);
$t->wait_for(sub { $t->worker_pids >= $workers
                   && ($t->status || { flows => {} })->{flows}{udp} }, 10,
             'HUP: the old master starts workers');
is(join(' ', sort grep { $t->status->{flows}{$_}{pid} }
              keys %{ $t->status->{flows} }), 'gone1 gone2',
   'which have what the new one has not');

$t->master($second);
ok(live(@names), 'all others stay with the new one');

$start = time();
kill 'QUIT', $second;
$t->master($first);
arrive($first, $start, 'rollback');
$t->wait_for(sub { !MC::alive($second) }, 10, 'the new master ends');
$t->wait_for(sub { $t->_pid_file('nginx.pid') == $first
                   && !-e "$t->{dir}/nginx.pid.oldbin" }, 5,
             'the pid file is the old one again');
lost('rollback');

ok(MC::alive($lingers), 'the worker that has a request is there');
my ($after) = $t->log =~ /\b$lingers#\d+: gracefully shutting down(.*)/s;
unlike($after || "$lingers#: started", qr/\b$lingers#.* started/,
       'and has taken nothing again');
close $held;
$t->wait_for(sub { !MC::alive($lingers) }, 10, 'it goes when that ends');

# what nginx reads, and what workers leave then, is as ever

begin_again();
remember();
$t->reload(flows => flows(@names));
is($t->status->{generation}, 4, 'a reload afterwards');
untouched('it');


# to the end, and once more from there: QUIT without WINCH

($second) = $t->upgrade(flows => flows(@names));
$start = time();
kill 'QUIT', $first;
arrive($second, $start, 'QUIT');
$t->wait_for(sub { !MC::alive($first) }, 10, 'QUIT: the old master ends');
is($t->_pid_file('nginx.pid'), $second, 'the pid file stays');
ok(!-e "$t->{dir}/nginx.pid.oldbin", 'and there is no other');
lost('QUIT');

my ($third) = $t->upgrade(flows => flows(@names));
is(inodes($third), $inode, 'an upgrade of the new one: the same lock file');
is(scalar(grep { $_->{pid} } values %{ $t->status->{flows} }), 0,
   'flows stay');
$start = time();
kill 'QUIT', $second;
arrive($third, $start, 'second upgrade', grep { !/^(?:udp|rtp|late)$/ } @names);
$t->wait_for(sub { !MC::alive($second) }, 10, 'the second master ends');


cmp_ok((sort { $a <=> $b } @changes)[0], '<', $quick,
       'at their best, the flows change hands quickly');

kill 'TERM', $hunter;
waitpid $hunter, 0;
undef $hunter;

my ($looks, @found) = split /\n/, $t->read_file('hunter');
note("looks, most owned: $looks");
like($looks, qr/^\d{2,} /, 'somebody has looked');
cmp_ok((split ' ', $looks)[1], '>=', @names, 'and seen the locks');
is("@found", '', 'nothing ever had two owners');

$t->finish;


# another user, and back: whose workers can open the lock file

SKIP: {
    skip "not root", 1 unless $> == 0 && getpwnam('nobody')
                              && getgrnam('nogroup');

    $t = MC->new(daemon => 1, log => 'notice', flows => flows('udp'));
    $first = $t->pid;

    ($second) = $t->upgrade(user => 'nobody nogroup');
    kill 'WINCH', $first;
    $t->wait_for(sub { ($t->flow('udp') || {})->{pid} }, 5,
                 'workers of another user have the flows');

    # the old master takes HUP for a reload once the new is gone

    kill 'HUP', $first;
    $t->master($first);
    $t->wait_for(sub { $t->worker_pids && $t->status }, 10,
                 'HUP: the old master starts workers');
    kill 'QUIT', $second;
    $t->wait_for(sub { ($t->flow('udp') || {})->{pid} }, 10,
                 'and those of the first again');

    unlike($t->log, qr/\[crit\]/, 'the lock file lets both in');

    # until it has seen that end, nginx would not wait for these workers

    $t->wait_for(sub { $t->_pid_file('nginx.pid') == $first }, 10,
                 'the new master ends');
    $t->finish;
}

done_testing();
