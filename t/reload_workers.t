#!/usr/bin/perl

# Other numbers of workers by reload, nginx as a daemon, and nginx as a single
# process, which has no workers to start anew.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;
use MC::Load;


my ($t, $load, %first, $idle, $title);
my @idle = map { sprintf 'idle%02d', $_ } 0 .. 11;

sub flows {
    return $load->text . join '', map {
        "mc_flow $_ { mc_title \"$title\"; mc_source udp://127.0.0.1:%%$_%%;"
        . " mc_output o udp://127.0.0.1:%%nobody%%; }\n"
    } @idle;
}

sub setup {
    my (%args) = @_;

    $title = 'first';
    $t = MC->new(start => 0, log => 'notice', %args);
    $load = MC::Load->new($t, n => $args{n}, rate => '500k', seconds => 100,
                          patient => 1);
    $t->{flows} = flows();
    $t->start;
    $load->begin;
    %first = %{ $t->status->{flows} };
}

# after a reload to so many workers: who has which flows

sub check {
    my ($what, $workers) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $s;
    my %old = map { $first{$_}{pid} => 1 } $load->names;

    $t->wait_for(sub {
        my %current = map { $_ => 1 } grep { !$old{$_} } $t->worker_pids;

        $s = $t->status;
        $s && keys %current == $workers
        && !grep({ my $pid = $s->{flows}{$_}{pid}; !$pid || !$current{$pid} }
                 @idle)
        && !grep { !$s->{flows}{$_}{exiting} } $load->names;
    }, 10, "$what: idle flows are in the new workers");

    my %n;
    $n{ $s->{flows}{$_}{pid} }++ for @idle;

    is(scalar keys %n, $workers, "$what: in each of them");
    is(scalar(grep { $s->{flows}{$_}{sources}[0]{state} ne 'waiting' } @idle),
       0, "$what: and wait for streams");
    is(scalar(grep { $s->{flows}{$_}{title} ne $title } @idle), 0,
       "$what: with what was changed");

    my @n = sort { $a <=> $b } values %n;
    cmp_ok($n[-1] - $n[0], '<=', 5, "$what: about evenly") or diag("@n");

    is(join(' ', grep {
        my $f = $s->{flows}{$_};
        $f->{pid} != $first{$_}{pid} || !$f->{exiting}
        || $f->{started_at} ne $first{$_}{started_at}
        || $f->{sources}[0]{connections} != 1
    } $load->names), '', "$what: live flows stay");
}


# from one to four to two, to as many as there are processors

setup(workers => 1, n => 10);

for (4, 2, 'auto', 1) {
    $title = "workers $_";
    $t->reload(workers => $_, flows => flows());
    check($title, $t->nworkers);
}

is($t->status->{generation}, 5, 'each counts');
is(scalar $t->exiting_pids, 1, 'the first worker is the only old one');

$load->end;
$load->check_untouched;

$t->wait_for(sub { !$t->exiting_pids }, 10, 'it leaves');
$t->wait_for(sub {
    my ($pid) = $t->worker_pids;
    my $s = $t->status;
    !grep { !$_->{pid} || $_->{pid} != $pid || $_->{exiting} }
          values %{ $s->{flows} }
}, 5, 'and the current one has all flows');

$t->finish;


# fewer workers than before, with live flows in each of four; then workers die
# whose number no current one has

setup(workers => 4, n => 10);

$title = 'one';
$t->reload(workers => 1, flows => flows());
check('from four to one', 1);

my %old = map { $first{$_}{pid} => 1 } $load->names;
my ($victim) = sort { $b <=> $a } keys %old;
my @orphans = grep { $first{$_}{pid} == $victim } $load->names;
my ($current) = $t->worker_pids;

$t->allow(qr/worker process $victim exited on signal 9/);
kill 'KILL', $victim;

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep { ($s->{flows}{$_}{pid} || 0) != $current } @orphans
}, 3, 'the one has the flows of a leaving worker that dies');

$load->end;
$t->finish;


# as a daemon

setup(workers => 2, n => 5, daemon => 1);

$title = 'daemon';
$t->reload(workers => 3, flows => flows());
check('daemon', 3);

$load->end;
$load->check_untouched;
$t->wait_for(sub { !$t->exiting_pids }, 10, 'daemon: the old workers leave');
$t->finish;


# One process.  nginx itself is not made for a reload of it: the new cycle has
# no connections, so that http (1.22.1, also without this module) answers
# nobody from the first HUP on, and says "worker_connections are not enough".
# Nor can a flow open a source that needs one more of them than were given
# back; but live streams go on, and what is changed is changed.

{
    my $changed = 'udp://127.0.0.1:%%s_in%%';
    my $before = 'udp://127.0.0.1:%%s_before%%';
    my $after = 'udp://127.0.0.1:%%s_after%%';

    my $flow = sub { "mc_flow changed { mc_source $changed;"
                     . " mc_output o $_[0]; }\n" };

    $t = MC->new(start => 0, log => 'notice', master => 0);
    $load = MC::Load->new($t, n => 10, rate => '500k', seconds => 100,
                          patient => 1);
    $t->{flows} = $load->text . $flow->($before);
    $t->start;
    $load->begin;

    my $pid = $t->pid;
    my $recv = $t->mcpkt('recv', $before, '--seconds', 60);
    my $send = $t->mcpkt('send', $changed, '--seconds', 60, '--rate', '500k');

    $t->wait_for(sub { $t->source('changed')->{packets} }, 5,
                 'one process: streams flow');

    $t->allow(qr/worker_connections are not enough/);

    my $then = $t->mcpkt('recv', $after, '--seconds', 60, '--packets', 20);

    $t->hup(flows => $load->text . $flow->($after));

    ok(defined $then->wait(10), 'one process: HUP changes a flow');
    cmp_ok($then->json->{datagrams} || 0, '>=', 20, 'whose stream goes on');

    # the same again, and another flow

    $recv->stop;
    $then = $t->mcpkt('recv', $before, '--seconds', 60, '--packets', 20);
    $t->hup(flows => $load->text . $flow->($before)
                     . "mc_flow more { mc_source srt://127.0.0.1:%%m_in%%"
                     . " mode=listener;"
                     . " mc_output o udp://127.0.0.1:%%m_out%%; }\n");

    ok(defined $then->wait(10), 'one process: and again');
    cmp_ok($then->json->{datagrams} || 0, '>=', 20, 'whose stream goes on');

    my $more = $t->mcpkt('recv', 'udp://127.0.0.1:%%m_out%%', '--packets', 20,
                         '--seconds', 10);
    my $fed = $t->mcpkt('send', 'srt://127.0.0.1:%%m_in%%', '--seconds', 10,
                        '--rate', '500k');

    ok(defined $more->wait(12) && ($more->json->{datagrams} || 0) >= 20,
       'one process: a new flow runs');
    $fed->stop;

    ok($t->running && $t->pid == $pid, 'one process: it still runs');

    $send->stop;
    $load->end(1);
    $load->check_untouched;

    cmp_ok($t->stop('quit'), '<', 3, 'one process: quits');
    $t->finish;
}

done_testing();
