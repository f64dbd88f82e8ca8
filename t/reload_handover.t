#!/usr/bin/perl

# Flows that move from worker to worker take their sockets along: not a
# datagram is lost or delivered twice, receivers of RTP see one sender, and no
# socket is left behind.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use Socket qw/ SOCK_DGRAM /;
use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;

my $workers = 2;
my $many = 20;
my $reloads = $ENV{MC_RELOADS} || ($ENV{MC_ASAN} ? 10 : 20);

# source, output; how fast, and whether the output has RTP headers of its own

my %flows = (
    keep   => ['rtp://127.0.0.1:%%keep_in%%', 'rtp://127.0.0.1:%%keep_out%%'],
    new    => ['rtp://127.0.0.1:%%new_in%%',
               'rtp://127.0.0.1:%%new_out%% rtp=new'],
    udp    => ['udp://:%%udp_in%%', 'udp://127.0.0.1:%%udp_out%%'],
    plain  => ['rtp://:%%plain_in%% buffer=300ms',
               'udp://127.0.0.1:%%plain_out%%'],
    wrap   => ['udp://127.0.0.1:%%wrap_in%%', 'rtp://127.0.0.1:%%wrap_out%%'],
    paced  => ['udp://127.0.0.1:%%paced_in%%',
               'rtp://127.0.0.1:%%paced_out%% pace=pcr'],
    held   => ['rtp://127.0.0.1:%%held_in%% buffer=200ms'
               . ' buffer_mode=constant', 'rtp://127.0.0.1:%%held_out%%'],
    name   => ['rtp://127.0.0.1:%%name_in%%',
               'rtp://localhost:%%name_out%% rtp=new'],
    group  => ['udp://239.9.8.7:%%group_in%% interface=127.0.0.1',
               'rtp://127.0.0.1:%%group_out%%'],
    sparse => ['rtp://127.0.0.1:%%sparse_in%% timeout=100ms',
               'rtp://127.0.0.1:%%sparse_out%% rtp=new'],
);

my @names = sort keys %flows;
my @live = grep { $_ ne 'sparse' } @names;

my $t = MC->new(start => 0, workers => $workers, log => 'notice',
                main => "worker_shutdown_timeout 1s;\n");

my $six = IO::Socket::IP->new(LocalHost => '::1', Type => SOCK_DGRAM);

if ($six) {
    $flows{six} = ['rtp://[::1]:%%six_in%%',
                   'udp://[::1]:%%six_out%%'];
    push @names, 'six';
    push @live, 'six';
}

$t->port('many_in', $many);
$t->port('many_out', $many);

my $title = 0;
my $extra = '';
my $gone = 'mc_flow gone {
    mc_source  udp://127.0.0.1:%%gone_in%%;
    mc_output  o  udp://127.0.0.1:%%gone_out%%;
}';

sub flows {
    my $text = '';

    for (@names) {
        my ($source, $output) = @{ $flows{$_} };
        $text .= "mc_flow $_ {\n    mc_source $source;\n"
            . "    mc_output o $output;\n"
            . ($_ eq 'new' ? $extra : '') . "}\n";
    }

    for my $i (0 .. $many - 1) {
        my ($in, $out) = ($t->port('many_in') + $i, $t->port('many_out') + $i);
        $text .= "mc_flow many$i {\n    mc_source rtp://127.0.0.1:$in;\n"
            . "    mc_output o rtp://127.0.0.1:$out rtp=new;\n}\n";
    }

    # a reload that changes something, though not what moves

    $title++;

    return $text . "mc_flow idle {\n    mc_title \"$title\";\n"
        . "    mc_source udp://127.0.0.1:%%idle%%;\n"
        . "    mc_output o udp://127.0.0.1:%%idle_out%%;\n}\n$gone\n";
}

$t->{flows} = flows();
$t->start;

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep { $_->{sources}[0]{state} ne 'waiting'
            || $_->{outputs}[0]{state} ne 'connected' } values %{ $s->{flows} }
}, 20, 'all flows are ready');

my (%send, %recv);

for my $name (@names, 'gone', 'many') {
    my ($proto, $out) = $name eq 'gone' ? 'udp'
        : $name eq 'many' ? 'rtp' : $flows{$name}[1] =~ /^(\w+)/;
    my $host = $name eq 'six' ? '[::1]' : '127.0.0.1';

    $recv{$name} = $t->mcpkt('recv', "$proto://$host:%%${name}_out%%",
                             '--seconds', 100, '--wait', 30,
                             $name eq 'many' ? ('--count', $many, '--each')
                                             : ());
}

for my $name (@names, 'gone', 'many') {
    my ($proto) = $name eq 'gone' ? 'udp'
        : $name eq 'many' ? 'rtp' : $flows{$name}[0] =~ /^(\w+)/;
    my $host = $name eq 'six' ? '[::1]'
        : $name eq 'group' ? '239.9.8.7' : '127.0.0.1';

    # every 300 ms is one datagram of 1316 bytes at 35,093 bit/s

    $send{$name} = $t->mcpkt('send', "$proto://$host:%%${name}_in%%",
                             '--seconds', 100,
                             '--rate', $name eq 'sparse' ? 35093 : '1m',
                             $name eq 'many' ? ('--count', $many) : (),
                             $name eq 'group' ? ('--iface', '127.0.0.1') : ());
}

my @all = (@live, map { "many$_" } 0 .. $many - 1);

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep { !$s->{flows}{$_}{outputs}[0]{packets}
            || $s->{flows}{$_}{sources}[0]{state} ne 'connected' } @all
}, 15, 'all flows are live');

my $generation = $t->status->{generation};
my %first = map { $_ => $t->flow($_)->{sources}[0]{connected_at} } @live;


# all are in current workers, and only these are left

sub moved {
    my ($deadline) = @_;

    return $t->poll(sub {
        my @pids = $t->worker_pids(1);
        my %current = map { $_ => 1 } $t->worker_pids;
        my $s = $t->status or return 0;

        @pids == $workers && $s->{generation} == $generation
        && !grep { !$_->{pid} || !$current{$_->{pid}} || $_->{exiting} }
           values %{ $s->{flows} };
    }, $deadline, 0.1);
}

sub reload {
    my ($exit, $out) = $t->reload(flows => flows());

    diag($out) if $exit;
    $generation++;
}

# descriptors of all processes, and sockets of each source's port

sub descriptors {
    my $n = 0;

    for my $pid ($t->pid, $t->worker_pids(1)) {
        $n += () = glob "/proc/$pid/fd/*";
    }

    return $n;
}

sub bound {
    my %n;

    for my $file ('/proc/net/udp', '/proc/net/udp6') {
        for (split /\n/, $t->read_file($file)) {
            $n{hex $1}++ if /^\s*\d+: [0-9A-F]+:([0-9A-F]{4}) /;
        }
    }

    return join ' ', map { $n{$t->port($_ . '_in')} || 0 } @names;
}

sub can_bind {
    my $s = IO::Socket::IP->new(LocalHost => '127.0.0.1', Type => SOCK_DGRAM,
                                LocalPort => $t->port('gone_in'));
    return defined $s;
}


# one that goes, with the workers that go

ok(!can_bind(), 'a port is in use');
$gone = '';
reload();
ok($t->poll(\&can_bind, 0.5, 0.02), 'the port of a flow that is gone is free');
ok(moved(15), 'flows move when their workers must leave');

(delete $send{gone})->stop;
(delete $recv{gone})->stop;

my $fds = descriptors();
my $bound = bound();

is($bound, join(' ', (1) x @names), 'each source has one socket');


# another output, which makes it another flow with the same endpoints

$extra = "    mc_output more udp://127.0.0.1:%%more%%;\n";
reload();
ok(moved(15), 'a flow that is changed moves');
$t->wait_for(sub { ($t->output('new', 'more') || {})->{packets} }, 5,
             'its new output is fed');

$extra = '';
reload();
ok(moved(15), 'and again');


# many

for (1 .. $reloads) {
    reload();
}

ok(moved(20), "$reloads reloads");

$t->poll(sub { descriptors() <= $fds }, 3, 0.1);
is(descriptors(), $fds, 'descriptors are as many as before');
is(bound(), $bound, 'and sockets');

my $s = $t->status;

for my $name (@live) {
    my $f = $s->{flows}{$name};
    my $source = $f->{sources}[0];

    is(join(' ', @$source{qw/ state connections disconnections /}),
       'connected 1 0', "$name: the source has been connected once");
    is($source->{connected_at}, $first{$name}, "$name: since then");
    is(join(' ', @{ $f->{outputs}[0] }{qw/ state connections
                                           disconnections /}),
       'connected 1 0', "$name: and the output");
}

is(join(' ', grep { $s->{flows}{"many$_"}{sources}[0]{connections} != 1 }
             0 .. $many - 1), '', 'as are the many');


# what came of it

kill 'TERM', map { $_->program || () } values %send;

my %sent = map { $_ => $send{$_}->json } keys %send;

# what is held comes later

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep { $s->{flows}{$_}{sources}[0]{state} eq 'connected' } @all
}, 10, 'the sources end');

$_->stop for values %recv;

my %got = map { $_ => $recv{$_}->json } keys %recv;

sub verify {
    my ($name, $sent, $got, $packets) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my @bad = map { $got->{$_} ? "$_ $got->{$_}" : () }
              qw/ lost duplicate reordered corrupted ts_lost ts_duplicate
                  cc_errors sync_errors psi_errors /;

    push @bad, map { $got->{rtp}{$_} ? "rtp $_ $got->{rtp}{$_}" : () }
               qw/ bad gaps lost reordered duplicate ssrc_changes
                   ts_backwards / if $got->{rtp};

    push @bad, 'dropped' if $sent->{send_dropped};

    is(join(', ', @bad), '', "$name: no loss, no repeat, one sender")
        or diag(explain($got));
    is($got->{datagrams}, $packets, "$name: all that was sent");
}

for my $name (@names) {
    verify($name, $sent{$name}, $got{$name}, $sent{$name}{packets});
}

my @each = @{ $got{many}{each} || [] };
my $total = 0;

is(scalar(@each), $many, 'many receivers');

$total += $_->{datagrams} for @each;
is($total, $sent{many}{packets} * $many, 'many: all that was sent');
is(scalar(grep { $_->{lost} || $_->{duplicate} || $_->{cc_errors}
                 || $_->{rtp}{lost} || $_->{rtp}{gaps}
                 || $_->{rtp}{duplicate} || $_->{rtp}{ssrc_changes}
                 || $_->{rtp}{ts_backwards} } @each), 0,
   'many: no loss, no repeat, one sender each')
    or diag(explain($got{many}));

$s = $t->status;

is(join(' ', map { my $e = $s->{flows}{$_}{sources}[0];
                   map { $e->{rtp}{$_} || () }
                       qw/ lost_packets duplicate_packets
                           reordered_packets / }
             @names), '', 'the sources count no loss');

ok($t->log !~ /could not be handed over/, 'every socket was handed over');

$t->finish;
done_testing();
