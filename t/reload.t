#!/usr/bin/perl

# Reloads under load: flows that are live and not changed go on in the worker
# that has them, without the loss of a packet, until their last peer is gone;
# all others are the new workers' at once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/ time /;
use MC;

my $workers = 4;
my $rate = '2m';


# flows that no reload touches, and their peers

my @stay = (
    listener => {
        source => 'srt://:%%l_in%%',
        output => 'srt://:%%l_out%%',
        send   => 'srt://127.0.0.1:%%l_in%%',
        recv   => 'srt://127.0.0.1:%%l_out%%',
    },
    encrypted => {
        source => 'srt://:%%e_in%%  passphrase=passphrase-in',
        output => 'srt://127.0.0.1:%%e_out%%  passphrase=passphrase-out'
                  . ' pbkeylen=32',
        send   => 'srt://127.0.0.1:%%e_in%%?passphrase=passphrase-in',
        recv   => 'srt://127.0.0.1:%%e_out%%?mode=listener'
                  . '&passphrase=passphrase-out',
    },
    caller => {
        source => 'srt://127.0.0.1:%%c_in%%',
        output => 'udp://127.0.0.1:%%c_out%%',
        send   => 'srt://127.0.0.1:%%c_in%%?mode=listener',
        recv   => 'udp://127.0.0.1:%%c_out%%',
    },
    shared1 => {
        source => 'srt://:%%shared%%  streamid=one',
        output => 'srt://:%%shared%%  streamid=one-out',
        send   => 'srt://127.0.0.1:%%shared%%?streamid=one',
        recv   => 'srt://127.0.0.1:%%shared%%?streamid=one-out',
    },
    shared2 => {
        source => 'srt://:%%shared%%  streamid=two passphrase=passphrase-2',
        output => 'rtp://127.0.0.1:%%s2_out%%',
        send   => 'srt://127.0.0.1:%%shared%%?streamid=two'
                  . '&passphrase=passphrase-2',
        recv   => 'rtp://127.0.0.1:%%s2_out%%',
    },
    rtp1 => {
        source => 'rtp://127.0.0.1:%%r1_in%%',
        output => 'rtp://127.0.0.1:%%r1_out%%',
        send   => 'rtp://127.0.0.1:%%r1_in%%',
        recv   => 'rtp://127.0.0.1:%%r1_out%%',
    },
    rtp2 => {
        source => 'rtp://:%%r2_in%%  timeout=1s',
        output => 'srt://:%%r2_out%%',
        send   => 'rtp://127.0.0.1:%%r2_in%%',
        recv   => 'srt://127.0.0.1:%%r2_out%%',
    },
    udp1 => {
        source => 'udp://127.0.0.1:%%u1_in%%',
        output => 'udp://127.0.0.1:%%u1_out%%',
        send   => 'udp://127.0.0.1:%%u1_in%%',
        recv   => 'udp://127.0.0.1:%%u1_out%%',
    },
    udp2 => {
        source => 'udp://:%%u2_in%%  timeout=1s',
        output => 'rtp://127.0.0.1:%%u2_out%%',
        send   => 'udp://127.0.0.1:%%u2_in%%',
        recv   => 'rtp://127.0.0.1:%%u2_out%%',
    },
    udp3 => {
        source => 'udp://127.0.0.1:%%u3_in%%',
        output => 'srt://127.0.0.1:%%u3_out%%',
        send   => 'udp://127.0.0.1:%%u3_in%%',
        recv   => 'srt://127.0.0.1:%%u3_out%%?mode=listener',
    },
);

my %stay = @stay;
my @names = sort keys %stay;


sub flow {
    my ($name, $source, $output, $title) = @_;

    $title = defined $title ? "mc_title \"$title\";" : '';

    return <<"END";
mc_flow $name {
    $title
    mc_source $source;
    mc_output o $output;
}
END
}

# the configuration: what stays, and of the others what is asked for

my %others;

sub flows {
    return join '', map({ flow($_, @{ $stay{$_} }{qw/ source output /}) }
                        @names),
                    map({ flow($_, @{ $others{$_} }) } sort keys %others);
}

sub title {
    $others{other} = ['srt://:%%o_in%%', 'srt://:%%o_out%%', $_[0]];
}

title('0');
$others{gone} = ['srt://:%%g_in%%', 'srt://:%%g_out%%'];

my $t = MC->new(start => 0, workers => $workers, log => 'notice');

# a port of which the test is to be the only user, for a bind() that fails

my $taken = IO::Socket::INET->new(Listen => 1, Proto => 'tcp',
                                  LocalAddr => '127.0.0.1',
                                  LocalPort => $t->port('taken'))
    or die "cannot listen: $!";

$t->{flows} = flows();
$t->start;

my %send;
my %recv;

sub begin {
    my ($name, $f, @options) = @_;

    $recv{$name} = $t->mcpkt('recv', $f->{recv}, '--seconds', 100,
                             '--wait', 30, @options);
    $send{$name} = $t->mcpkt('send', $f->{send}, '--seconds', 100,
                             '--rate', $rate, '--wait', 30, @options);
}

sub connected {
    my (@flows) = @_;

    my $s = $t->status or return 0;

    return !grep {
        my $f = $s->{flows}{$_};
        !$f || !$f->{sources}[0]{packets} || !$f->{outputs}[0]{packets}
        || $f->{sources}[0]{state} ne 'connected'
    } @flows;
}

# receivers first, or they would miss the beginning

for (@names) {
    $recv{$_} = $t->mcpkt('recv', $stay{$_}{recv}, '--seconds', 100,
                          '--wait', 30);
}

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep {
        my $o = $s->{flows}{$_}{outputs}[0];
        ($o->{state} || '') ne 'connected'
    } @names
}, 10, 'outputs are connected');

for (@names) {
    $send{$_} = $t->mcpkt('send', $stay{$_}{send}, '--seconds', 100,
                          '--rate', $rate, '--wait', 30);
}

begin('gone', { send => 'srt://127.0.0.1:%%g_in%%',
                recv => 'srt://127.0.0.1:%%g_out%%' });

$t->wait_for(sub { connected(@names, 'gone') }, 15, 'all flows are live');


# what is looked at after each of the reloads

my %first = %{ $t->status->{flows} };
my @old = $t->worker_pids;
my $generation = $t->status->{generation};
my %count;
my %wrong;
my $reloads = 0;
my $most = 0;

is(scalar keys %{{ map { $first{$_}{pid} => 1 } @names }}, $workers,
   'in all workers');

sub wrong { $wrong{$_[0]} ||= "reload $reloads: $_[0]" }

sub look {
    my ($exiting) = @_;

    my $s = $t->status;
    return wrong('no status') unless $s;

    my %current = map { $_ => 1 } $t->worker_pids;

    for my $name (keys %{ $s->{flows} }) {
        my $f = $s->{flows}{$name};

        if (!$stay{$name}) {
            next;
        }

        wrong("$name has another owner") if $f->{pid} != $first{$name}{pid};
        wrong("$name was started again")
            if $f->{started_at} ne $first{$name}{started_at};
        wrong("$name does not say that its owner leaves")
            if $exiting && !$f->{exiting};

        my @counters = map {
            my $e = $_;
            wrong("$name: $e->{state}") if $e->{state} ne 'connected';
            wrong("$name: $e->{connections} connections")
                if $e->{connections} != 1;
            map { $e->{$_} } qw/ packets bytes connections /;
        } $f->{sources}[0], $f->{outputs}[0];

        for my $i (0 .. $#counters) {
            wrong("$name: a counter goes back")
                if $count{$name} && $counters[$i] < $count{$name}[$i];
        }

        $count{$name} = \@counters;
    }

    wrong("$_ is missing") for grep { !$s->{flows}{$_} } @names;
    wrong("another generation") if $s->{generation} != $generation;

    my $n = $t->worker_pids(1);
    $most = $n if $n > $most;

    return $s;
}

sub reload {
    my ($exit, $out) = $t->reload(flows => flows());

    diag($out) if $exit;
    $generation++;
    $reloads++;

    # the old ones are told 100 ms after the new ones were started

    $t->poll(sub { my $s = $t->status;
                   $s && $s->{generation} == $generation
                   && !grep { !$s->{flows}{$_}{exiting} } @names }, 5);

    return look(1);
}

# a flow of a current worker: how long it takes to be there

sub arrives {
    my ($name, $deadline) = @_;

    my $start = time();

    my $up = $t->poll(sub {
        my $f = $t->flow($name);
        $f && $f->{pid} && $f->{sources}[0]{state} eq 'waiting'
    }, $deadline, 0.02);

    return $up ? time() - $start : 99;
}

sub current {
    my ($name) = @_;

    my $pid = ($t->flow($name) || {})->{pid} || 0;

    return scalar grep { $_ == $pid } $t->worker_pids;
}


# another flow's title

for (1 .. 4) {
    title("title $_");
    reload();
}

is($t->flow('other')->{title}, 'title 4', 'a title is changed');
$t->wait_for(sub { current('other') }, 2,
             'a flow that is not live goes to the new workers');


# one more flow

$others{added} = ['srt://:%%a_in%%', 'srt://:%%a_out%%'];
reload();
cmp_ok(arrives('added', 2), '<', 0.5, 'a new flow is there at once');
ok(current('added'), 'in a new worker');
is($t->mcpkt_run('connect', 'srt://127.0.0.1:%%a_in%%', '--wait', 2)
   ->{connected}, JSON::PP::true, 'and lets callers in');


# one more on the port of flows that are live

$others{joined} = ['srt://:%%shared%%  streamid=three',
                   'srt://:%%shared%%  streamid=three-out'];
reload();
cmp_ok(arrives('joined', 2), '<', 0.5,
       'a new flow on the port of live ones is there at once');
is($t->flow('joined')->{pid}, $first{shared1}{pid}, 'in their worker');

begin('joined', { send => 'srt://127.0.0.1:%%shared%%?streamid=three',
                  recv => 'srt://127.0.0.1:%%shared%%?streamid=three-out' });
$t->wait_for(sub { connected('joined') }, 5, 'and is fed');

title('next to it');
reload();
is($t->source('joined')->{connections}, 1, 'which a reload leaves alone too');

$others{joined}[2] = 'another title';
reload();
is($t->flow('joined')->{title}, 'another title',
   'it is changed in that worker');
is($t->flow('joined')->{pid}, $first{shared1}{pid}, 'and stays there');
is($t->source('joined')->{connections}, 1, 'with its peers');


# flows that go

sub orderly {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    # without a word from us it would take 5 s

    my $n = 0;

    for my $p ($send{$name}, $recv{$name}) {
        $n++ if $t->poll(sub { $p->err =~ /lost|gone|closed/ || !$p->running },
                         1.5, 0.02);
    }

    is($n, 2, "the peers of \"$name\" see that it ends");

    (delete $send{$name})->stop;
    (delete $recv{$name})->stop;
}

delete $others{gone};
reload();
orderly('gone');
is($t->get('/flows/gone')->{status}, 404, 'a removed flow is gone');

delete $others{joined};
reload();
orderly('joined');
is($t->mcpkt_run('connect', 'srt://127.0.0.1:%%shared%%?streamid=three',
                 '--wait', 2)->{reject_reason}, 1404,
   'also from the port that it shared');

delete $others{added};
reload();


# as fast as they can be given

for (1 .. 4) {
    title("fast $_");
    reload();
}

$t->wait_for(sub { $t->worker_pids(1) <= 2 * $workers }, 5,
             'of the workers between only the first and the last remain');
cmp_ok($most, '<=', 4 * $workers, 'and there were never many');
is($t->flow('other')->{title}, 'fast 4', 'the last reload is in force');


# reloads that are refused

sub refused {
    my ($what, $error, %args) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %restore = map { $_ => $t->{$_} } keys %args;
    my $pids = join ' ', $t->worker_pids(1);
    my $time = $t->status->{last_reload}{time};

    title("refused: $what");
    $t->reload(wait => 0, flows => flows(), %args);

    $t->wait_for(sub { $t->status->{last_reload}{time} ne $time }, 10,
                 "$what: refused");

    my $s = look(1);

    is($s->{last_reload}{result}, 'failed', "$what: as is told");
    like($s->{last_reload}{error} || '', $error, "$what: and why");
    is($s->{flows}{other}{title}, 'fast 4', "$what: nothing is changed");
    is(join(' ', $t->worker_pids(1)), $pids, "$what: nor are processes");

    $t->{$_} = $restore{$_} for keys %restore;
}

refused('zone size', qr/mc_zone_size/, main => "mc_zone_size 32m;\n");
refused('bind conflict', qr/error log/,
        http_conf => "listen 127.0.0.1:%%taken%%;\n");

$t->allow(qr/\[emerg\].*"mc_zone_size" cannot change/,
          qr/\[emerg\].*bind\(\) to 127\.0\.0\.1:\d+ failed/,
          qr/\[emerg\].*still could not bind/);

title('again');
my $s = reload();
is($s->{last_reload}{result}, 'ok', 'the next one is accepted');
is($s->{flows}{other}{title}, 'again', 'and is in force');

is($reloads, 16, 'reloads');
is(join("\n", sort values %wrong), '', 'the flows that stay never noticed');


# the end of the streams is the end of the old workers

# a second signal, as timeout gives it, would cut short how a sender ends

kill 'TERM', map { $_->program || () } @send{@names};

my %sent = map { $_ => $send{$_}->json } @names;

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep { $s->{flows}{$_}{sources}[0]{state} eq 'connected' } @names
}, 10, 'sources end');

$_->stop for @recv{@names};

my %got = map { $_ => $recv{$_}->json } @names;

for my $name (@names) {
    my ($sent, $got) = ($sent{$name}, $got{$name});

    my @bad = grep { $got->{$_} } qw/ lost duplicate reordered corrupted
                                      ts_lost ts_duplicate cc_errors
                                      sync_errors psi_errors /;
    push @bad, 'connections' if $name !~ /rtp|udp/
                                && ($sent->{connections} || 0) != 1;
    push @bad, 'dropped' if $sent->{send_dropped};

    is("@bad", '', "$name: not a packet is lost, not a connection")
        or diag(explain($sent, $got));
    is($got->{ts_packets}, $sent->{ts_packets}, "$name: all that was sent");
}

$t->wait_for(sub { !grep { kill 0, $_ } @old }, 10, 'the old workers leave');
$t->wait_for(sub { $t->worker_pids(1) == $workers }, 5, 'as do all others');

$t->wait_for(sub {
    $s = $t->status;
    !grep { !$_->{pid} || $_->{exiting} } values %{ $s->{flows} };
}, 5, 'all flows are in current workers');

is(scalar(grep { $s->{flows}{$_}{sources}[0]{packets} != $sent{$_}{packets} }
          @names), 0, 'and have their counters');

%send = %recv = ();


# an old worker is killed

sub start_again {
    my (@flows) = @_;

    begin($_, $stay{$_}, '--reconnect') for @flows;

    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $t->wait_for(sub { connected(@flows) }, 15, 'streams begin again');
}

# how long it takes until new workers have the flows and those of UDP their
# sources; the others call again when they find out

sub taken_over {
    my ($deadline, @flows) = @_;

    my $start = time();
    my %before = map { $_ => $t->source($_)->{packets} } @flows;

    my $ok = $t->poll(sub {
        my $s = $t->status or return 0;
        my %current = map { $_ => 1 } $t->worker_pids;

        !grep {
            my $f = $s->{flows}{$_};
            !$f->{pid} || !$current{$f->{pid}} || $f->{exiting}
            || (/^udp|^rtp/ && $f->{sources}[0]{packets} <= $before{$_})
        } @flows
    }, $deadline, 0.01);

    return $ok ? time() - $start : 99;
}

start_again(@names);
title('before a death');
$t->reload(flows => flows());
$generation++;

$t->wait_for(sub {
    $s = $t->status;
    !grep { !$s->{flows}{$_}{exiting} } @names
}, 5, 'all flows are in old workers');

my $victim = $s->{flows}{udp1}{pid};
my @mine = grep { $s->{flows}{$_}{pid} == $victim } @names;
my @others = grep { $s->{flows}{$_}{pid} != $victim } @names;
my %connections = map { $_ => $s->{flows}{$_}{sources}[0]{connections} }
                  @names;

$t->allow(qr/worker process $victim exited on signal 9/);
kill 'KILL', $victim;

my $took = taken_over(5, @mine);
cmp_ok($took, '<', 0.5, 'the flows of an old worker that is killed run again')
    or diag("@mine");

$s = $t->status;
is(scalar(grep { $s->{flows}{$_}{sources}[0]{connections}
                 != $connections{$_} } @others), 0,
   'those of the other old workers do not notice');


# worker_shutdown_timeout, of the workers that leave

$t->reload(flows => flows(), main => "worker_shutdown_timeout 1s;\n");
$_->stop for values %send, values %recv;
%send = %recv = ();
$t->wait_for(sub { $t->worker_pids(1) == $workers }, 12,
             'no stream, no old worker');

start_again('listener', 'caller', 'rtp1', 'udp1');
title('timeout');
my $start = time();
@old = $t->worker_pids;
$t->reload(flows => flows());

$t->wait_for(sub { !grep { kill 0, $_ } @old }, 6,
             'old workers leave at worker_shutdown_timeout');
cmp_ok(time() - $start, '>=', 1, 'not before');
cmp_ok(taken_over(5, 'listener', 'caller', 'rtp1', 'udp1'), '<', 0.5,
       'and hand over');
$t->wait_for(sub { connected('listener', 'caller', 'rtp1', 'udp1') }, 8,
             'all streams go on');


# quit: with live flows in old workers and in new ones

title('before the end');
$t->reload(flows => flows(), main => '');
$t->wait_for(sub { $t->worker_pids(1) == $workers }, 8);
$t->wait_for(sub { connected('listener', 'caller') }, 8);

title('the end');
$t->reload(flows => flows());
$t->wait_for(sub { $t->flow('listener')->{exiting}
                   && current('encrypted') }, 5);
begin('encrypted', $stay{encrypted}, '--reconnect');
$t->wait_for(sub { connected('listener', 'caller', 'encrypted', 'udp1')
                   && $t->flow('listener')->{exiting}
                   && !$t->flow('encrypted')->{exiting} }, 10,
             'live flows in old workers and in new ones');

cmp_ok($t->stop('quit'), '<', 1, 'quit ends all of them at once');
ok($t->poll(sub { $send{listener}->err =~ /lost|gone|closed/ }, 1.5, 0.02),
   'peers see it');

$t->finish;
done_testing();
