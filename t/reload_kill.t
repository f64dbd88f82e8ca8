#!/usr/bin/perl

# kill -9 of workers, of current and of leaving ones, at random moments under
# load: the flows run again at once in another process, and never in two.
# MC_SEED repeats a run, as far as time allows.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use HTTP::Tiny;
use JSON::PP;
use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;
use MC::Load;

my $workers = 4;
my $kills = $ENV{MC_KILLS} || 30;
my $seed = $ENV{MC_SEED} || int(rand(1 << 31));

srand $seed;
diag("MC_SEED=$seed");

my $t = MC->new(start => 0, workers => $workers, log => 'notice', limit => 180);
my $load = MC::Load->new($t, n => 20, rate => '300k', seconds => 170,
                         options => ['--reconnect']);
my @names = $load->names;
my $reloads = 0;

sub flows {
    return $load->text . "mc_flow idle { mc_title \"$reloads\";"
           . ' mc_source srt://:%%i_in%%; mc_output o srt://:%%i_out%%; }';
}

$t->{flows} = flows();
$t->start;
$load->begin;
$load->hunt;

# what nginx itself says of processes that are gone when it signals them

$t->allow(qr/worker process \d+ exited on signal 9/,
          qr/kill\(\d+, \d+\) failed \(3: No such process\)/,
          qr/sendmsg\(\) failed \((?:9|32|104|111): /);


sub look {
    my $r = HTTP::Tiny->new(timeout => 1, proxy => undef, http_proxy => undef)
            ->get($t->url(''));

    return $r->{status} == 200 ? eval { decode_json($r->{content}) } : undef;
}

sub reload {
    $reloads++;
    $t->hup(flows => flows());
}

# the time until none of the flows is with a process that is dead, and none of
# their endpoints is stopped

sub back {
    my ($start, @flows) = @_;

    my $why = 'no status';

    my $ok = $t->poll(sub {
        my $s = look() or return 0;

        for my $name (@flows) {
            my $f = $s->{flows}{$name};
            my $pid = $f->{pid} || 0;

            $why = "$name: pid $pid";
            return 0 if !$pid || !MC::alive($pid);

            $why .= ', ' . join ' ', map { $_->{state} } @{ $f->{sources} },
                                                         @{ $f->{outputs} };
            return 0 if $why =~ /stopped/;
        }

        return 1;
    }, 10, 0.005);

    return (1000 * (time() - $start), $ok ? '' : $why);
}

sub flows_of {
    my ($s, @pids) = @_;

    my %is = map { $_ => 1 } @pids;

    return grep { $is{ $s->{flows}{$_}{pid} || 0 } } keys %{ $s->{flows} };
}

sub leaving {
    my ($s) = @_;

    return keys %{{ map { $_->{pid} => 1 } grep { $_->{exiting} && $_->{pid} }
                    values %{ $s->{flows} } }};
}


# one at a time

my %times = (current => [], leaving => [], 'during a reload' => []);
my (@slow, @lost, @wrong);

for my $n (1 .. $kills) {
    my $what = ('current', 'leaving', 'during a reload')[int rand 3];

    # a worker is leaving after a reload, as long as streams are live

    if ($what eq 'leaving') {
        my $s = look();

        if (!$s || !leaving($s)) {
            reload();
            $t->poll(sub { $s = look(); $s && leaving($s) }, 3, 0.02);
        }
    }

    sleep rand 0.3;

    if ($what eq 'during a reload') {
        reload();
        sleep rand 0.15;
    }

    my $s = $t->poll(sub { look() }, 5, 0.01) or last;
    my @pids = $what eq 'leaving' ? leaving($s)
             : $what eq 'current' ? $t->worker_pids
             :                      $t->worker_pids(1);
    my $victim = $pids[rand @pids] or next;

    kill 'KILL', $victim;

    my $start = time();
    my @flows = flows_of($s, $victim);
    my ($ms, $why) = back($start, @flows);

    push @lost, "kill $n, $what, $victim, of " . join(' ', @flows) . ": $why"
        if $why;
    push @{ $times{$what} }, $ms if @flows;

    # into a worker that is leaving comes only what shares a port

    if ($what ne 'during a reload') {
        my %leaving = map { $_ => 1 } grep { MC::alive($_) }
                      grep { MC::_slurp("/proc/$_/cmdline") =~ /shutting/ }
                      $t->worker_pids(1);
        my $now = $t->poll(sub { look() }, 5) || {};

        push @wrong, map { "kill $n, $what: $_" }
                     grep { !/^shared/ && $leaving{ $now->{flows}{$_}{pid} } }
                     @flows;
    }

    push @slow, sprintf 'kill %d, %s, %d: %.0f ms, %s', $n, $what, $victim,
                        $ms, join ' ', sort @flows if $ms > 500;
}

my @all = map { @$_ } values %times;

diag("until all flows run again, ms:\n",
     MC::Load::table((map { $_ => $times{$_} } sort keys %times),
                     all => \@all));
diag(join "\n", @slow) if @slow;

# the sanitizer makes a worker slow to start

my ($median, $each) = $t->{asan} ? (1000, 5000) : (200, 2000);

is(join("\n", @lost), '', 'each time all flows run again');
is(join("\n", @wrong), '', 'in a current worker');
cmp_ok(scalar @all, '>=', $kills / 2, 'the victims had flows');
cmp_ok(MC::Load::median(@all), '<', $median, "within $median ms at the median");
is(scalar(grep { $_ >= $each } @all), 0, "and within $each ms each");


# new workers, as soon as they are there

my %before = map { $_ => 1 } $t->worker_pids(1);

reload();

my @new;

$t->poll(sub { @new = grep { !$before{$_} } MC::_children($t->pid);
               @new >= $workers }, 10, 0.002);
kill 'KILL', @new;

my ($ms, $why) = back(time(), @names, 'idle');

is($why, '', 'new workers are killed at once: all flows run');
cmp_ok($ms, '<', $each, 'at once') or diag("$ms ms");
diag(sprintf 'new workers: %.0f ms', $ms);


# all of them

my @all_pids = $t->worker_pids(1);

kill 'KILL', @all_pids;
($ms, $why) = back(time(), @names, 'idle');

is($why, '', 'all workers are killed: all flows run');
cmp_ok($ms, '<', $each, 'at once') or diag("$ms ms");
diag(sprintf 'all %d workers: %.0f ms', scalar @all_pids, $ms);


# one that is stopped for two seconds is not dead; and a reload comes meanwhile

$t->wait_for(sub { my $s = look(); $s && $load->live($s) }, 15,
             'all streams flow again');

my $s = $t->poll(sub { look() }, 5);
my $victim = $s->{flows}{udp0}{pid};
my @mine = grep { $_ ne 'idle' } flows_of($s, $victim);
my %of = map { $_ => $s->{flows}{$_} } @mine;

kill 'STOP', $victim;
sleep 1;
reload();
sleep 1;
kill 'CONT', $victim;

$t->wait_for(sub {
    $s = look();
    $s && $load->live($s) && $s->{flows}{idle}{title} eq $reloads
    && !grep { !$s->{flows}{$_}{exiting} } @mine
}, 15, 'a worker is stopped for a while, during a reload');

# datagrams were waiting for it, callers may have given up and come again; but
# what had no stream in between is a new worker's

is(join(' ', grep { $s->{flows}{$_}{pid} != $victim
                    || $s->{flows}{$_}{started_at} ne $of{$_}{started_at} }
             grep { /^(?:udp|rtp)\d/ } @mine), '', 'it keeps its flows');
is(join(' ', grep { $s->{flows}{$_}{sources}[0]{packets}
                    <= $of{$_}{sources}[0]{packets} } @mine), '',
   'which go on');


# the lock file is deleted, and there is another one of that name: workers go
# on with the one that they have open

my $lock = $t->dir . '/nginx.pid.mc.lock';
my $noticed = qr/\[error\].*lock\ file\ ".*nginx\.pid\.mc\.lock"
                 .*(?:deleted|replaced)/x;

sub notices { return scalar(() = $t->log =~ /$noticed/g) }

unlink $lock or fail("cannot delete $lock: $!");
sleep 0.3;
open my $fh, '>', $lock;
close $fh;

if (my $user = $t->{user} && $> == 0 ? (getpwnam $t->{user})[2] : undef) {
    chown $user, -1, $lock;
}

%before = map { $_ => 1 } $t->worker_pids(1);
reload();
$t->poll(sub { (grep { !$before{$_} } $t->worker_pids) >= $workers }, 10);
$t->poll(sub { my $s = look(); $s && leaving($s) }, 3);

for my $which ('leaving', 'current') {
    $s = $t->poll(sub { look() }, 5);

    my ($pid) = $which eq 'leaving' ? leaving($s)
              : grep { flows_of($s, $_) } $t->worker_pids;

    ok($pid, "another lock file: a $which worker is killed") or next;
    kill 'KILL', $pid;

    ($ms, $why) = back(time(), flows_of($s, $pid));
    is($why, '', 'its flows run again');
    cmp_ok($ms, '<', $each, 'at once') or diag("$ms ms");
}

$t->wait_log($noticed, 5, 'that the lock file is another is an error');

my $n = notices();

sleep 2.5;
is(notices(), $n, 'which is not told again and again');
cmp_ok($n, '<=', 3, 'but once')
    or diag(grep { /$noticed/ } split /^/, $t->log);


# the end: no flow is left with a worker that is leaving, or with nobody

$load->hunted;
$load->end(1);

$t->wait_for(sub {
    my $s = look() or return 0;
    my %current = map { $_ => 1 } $t->worker_pids;

    !grep { !$_->{pid} || !$current{$_->{pid}} || $_->{exiting} }
          values %{ $s->{flows} };
}, 15, 'no streams: all flows are in current workers');

$t->wait_for(sub { !$t->exiting_pids }, 10, 'and the old workers leave');

my @names_d = $load->datagram_names;

is(join(' ', map { "$_: $load->{got}{$_}{duplicate}" }
             grep { $load->{got}{$_}{duplicate} } @names_d), '',
   'no datagram came twice');
is(join(' ', grep { !$load->{got}{$_}{datagrams} } @names_d), '',
   'datagrams came');
is(join(' ', grep { $load->{got}{$_}{corrupted} } @names), '',
   'and all were whole');

$t->finish;
done_testing();
