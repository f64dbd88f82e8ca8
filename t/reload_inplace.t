#!/usr/bin/perl

# What a reload changes inside flows that are live: only what it names is
# touched.  Every other endpoint keeps its connection, and its receiver gets
# each packet once, in a worker that has been leaving since the first reload.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/ time /;
use MC;

# packets that come too late are dropped: a busy machine is no loss

my $t = MC->new(start => 0, workers => 2, log => 'notice',
                main => "mc_latency 1s;\n");

# passphrases: none of them may ever be seen

my %secret = map { $_ => "never-to-be-seen-$_" }
             qw/ keys0 keys1 keys2 push0 push1 pull0 pull1 /;


# FLOWS

# of each flow: directives, sources, outputs

my %flows = (
    all => {
        conf    => { mc_title => 'All', mc_max_bandwidth => '50m' },
        primary => 'srt://:%%all_in%%',
        outputs => {
            l => 'srt://:%%all_l%%',
            c => 'srt://127.0.0.1:%%all_c%%',
            r => 'rtp://127.0.0.1:%%all_r%%',
            u => 'udp://127.0.0.1:%%all_u%%',
        },
    },
    pull => {
        primary => 'srt://127.0.0.1:%%pull_in%%',
        outputs => {
            l => 'srt://:%%pull_l%%',
            u => 'udp://127.0.0.1:%%pull_u%%',
        },
    },
    rtp => {
        primary => 'rtp://127.0.0.1:%%rtp_in%%',
        outputs => {
            c => 'srt://127.0.0.1:%%rtp_c%%',
            r => 'rtp://127.0.0.1:%%rtp_r%%',
        },
    },
    udp => {
        primary => 'udp://127.0.0.1:%%udp_in%%',
        outputs => {
            l => 'srt://:%%udp_l%%',
            u => 'udp://127.0.0.1:%%udp_u%%',
        },
    },
    keys => {
        primary => "srt://:%%keys_in%% passphrase=$secret{keys0}",
        outputs => {
            l => "srt://:%%keys_l%% passphrase=$secret{keys0}"
                 . " pbkeylen=16",
        },
    },
    callers => {
        primary => "srt://127.0.0.1:%%cal_in%% passphrase=$secret{pull0}",
        outputs => {
            c => "srt://127.0.0.1:%%cal_c%% passphrase=$secret{push0}",
            l => 'srt://:%%cal_l%%',
        },
    },
    access => {
        conf    => { mc_allow => '127.0.0.2 127.0.0.4' },
        primary => 'srt://:%%acc_in%%',
        outputs => {
            l => 'srt://:%%acc_l%% allow=127.0.0.2,127.0.0.3',
            k => 'srt://:%%acc_k%%',
        },
    },
    audp => {
        primary => 'udp://127.0.0.1:%%audp_in%% allow=127.0.0.2',
        outputs => { l => 'srt://:%%audp_l%%' },
    },
    artp => {
        primary => 'rtp://127.0.0.1:%%artp_in%% allow=127.0.0.2',
        outputs => { l => 'srt://:%%artp_l%%' },
    },
    swap => {
        primary => 'srt://:%%swap_in%%',
        outputs => {
            l => 'srt://:%%swap_l%%',
            u => 'udp://127.0.0.1:%%swap_u%%',
            r => 'rtp://127.0.0.1:%%swap_r%%',
        },
    },
    idle => {
        primary => 'srt://:%%idle_in%%',
        outputs => { l => 'srt://:%%idle_l%%' },
    },
);

sub conf {
    my $text = '';

    for my $name (sort keys %flows) {
        my $f = $flows{$name};

        $text .= "mc_flow $name {\n";

        for (sort keys %{ $f->{conf} || {} }) {
            my $value = $f->{conf}{$_};
            $value = "\"$value\"" if /title|description/;
            $text .= "    $_ $value;\n";
        }

        $text .= "    mc_source $f->{primary};\n";
        $text .= "    mc_source $f->{backup} backup;\n" if $f->{backup};

        for (sort keys %{ $f->{outputs} }) {
            $text .= "    mc_output $_ $f->{outputs}{$_};\n";
        }

        for (sort keys %{ $f->{backups} || {} }) {
            $text .= "    mc_output $_ $f->{backups}{$_} backup;\n";
        }

        $text .= "}\n";
    }

    return $text;
}

$t->{flows} = conf();
$t->start;
my %first = map { $_ => 1 } $t->worker_pids;


# PEERS

# those of endpoints that no change names: nothing may happen to them

my %recv;
my %send;

sub recv_ {
    my ($name, $url, @options) = @_;

    return $recv{$name} = $t->mcpkt('recv', $url, '--seconds', 100,
                                    '--wait', 30, @options);
}

sub send_ {
    my ($name, $url, @options) = @_;

    return $send{$name} = $t->mcpkt('send', $url, '--seconds', 100, '--rate',
                                    '1m', '--wait', 30, @options);
}

recv_('all l', 'srt://127.0.0.1:%%all_l%%');
recv_('all c', 'srt://127.0.0.1:%%all_c%%?mode=listener');
recv_('all r', 'rtp://127.0.0.1:%%all_r%%');
recv_('all u', 'udp://127.0.0.1:%%all_u%%');
recv_('pull l', 'srt://127.0.0.1:%%pull_l%%');
recv_('pull u', 'udp://127.0.0.1:%%pull_u%%');
recv_('rtp c', 'srt://127.0.0.1:%%rtp_c%%?mode=listener');
recv_('rtp r', 'rtp://127.0.0.1:%%rtp_r%%');
recv_('udp l', 'srt://127.0.0.1:%%udp_l%%');
recv_('udp u', 'udp://127.0.0.1:%%udp_u%%');
recv_('keys l', "srt://127.0.0.1:%%keys_l%%?passphrase=$secret{keys0}");
recv_('callers c', "srt://127.0.0.1:%%cal_c%%?mode=listener"
                   . "&passphrase=$secret{push0}");
recv_('callers l', 'srt://127.0.0.1:%%cal_l%%');
recv_('access k', 'srt://127.0.0.1:%%acc_k%%');
recv_('access 2', 'srt://127.0.0.1:%%acc_l%%', '--bind', '127.0.0.2');
recv_('access 3', 'srt://127.0.0.1:%%acc_l%%', '--bind', '127.0.0.3',
      '--reconnect');
recv_('audp l', 'srt://127.0.0.1:%%audp_l%%');
recv_('artp l', 'srt://127.0.0.1:%%artp_l%%');
recv_('swap l', 'srt://127.0.0.1:%%swap_l%%');
recv_('swap u', 'udp://127.0.0.1:%%swap_u%%');
recv_('swap r', 'rtp://127.0.0.1:%%swap_r%%');

$t->wait_for(sub {
    my $s = $t->status or return 0;

    !grep {
        my $flow = $_;
        grep { $_->{state} ne 'connected' || $flow eq 'access'
               && $_->{name} eq 'l' && @{ $_->{peers} } != 2 }
             @{ $s->{flows}{$flow}{outputs} }
    } grep { $_ ne 'idle' } keys %flows;
}, 10, 'outputs are connected');

send_('all', 'srt://127.0.0.1:%%all_in%%', '--rate', '3m');
send_('pull', 'srt://127.0.0.1:%%pull_in%%?mode=listener');
send_('rtp', 'rtp://127.0.0.1:%%rtp_in%%');
send_('udp', 'udp://127.0.0.1:%%udp_in%%');
send_('keys', "srt://127.0.0.1:%%keys_in%%?passphrase=$secret{keys0}");
send_('callers', "srt://127.0.0.1:%%cal_in%%?mode=listener"
                 . "&passphrase=$secret{pull0}");
send_('access', 'srt://127.0.0.1:%%acc_in%%', '--bind', '127.0.0.2',
      '--reconnect');
send_('audp', 'udp://127.0.0.1:%%audp_in%%', '--bind', '127.0.0.2');
send_('artp', 'rtp://127.0.0.1:%%artp_in%%', '--bind', '127.0.0.2');
send_('swap', 'srt://127.0.0.1:%%swap_in%%', '--reconnect');

sub live {
    my $s = $t->status or return 0;

    return !grep { $_ ne 'idle'
                   && $s->{flows}{$_}{sources}[0]{state} ne 'connected' }
           keys %flows;
}

$t->wait_for(\&live, 15, 'all flows are live');

# who has those that are to stay where they are

my %pid = map { $_ => $t->flow($_)->{pid} } grep { $_ ne 'idle' } keys %flows;


# RELOADS

# what has happened to its peers, once, however often it is looked at

my %wrong;
my $reloads = 0;

# endpoints that a change has named, and so need not have one connection

my %named;

sub name_of {
    my ($e, $flow, $list) = @_;

    return "$flow $list"
           . ($list eq 'input' ? '' : " $e->{name}")
           . ($e->{pipeline} eq 'backup' ? ' backup' : '');
}

sub look {
    my ($what) = @_;

    my $s = $t->status or return;

    for my $flow (grep { $_ ne 'idle' } keys %flows) {
        my $f = $s->{flows}{$flow};

        $wrong{"$flow has another owner"} ||= $what
            if $pid{$flow} && $f->{pid} != $pid{$flow};

        for ([input => $f->{sources}], [output => $f->{outputs}]) {
            my ($list, $endpoints) = @$_;

            for my $e (@$endpoints) {
                my $name = name_of($e, $flow, $list);
                next if $named{$name};

                $wrong{"$name: $e->{state}"} ||= $what
                    if $e->{state} ne 'connected';

                my $n = $name eq 'access output l' ? 2 : 1;

                $wrong{"$name: connections"} ||= $what
                    if $e->{connections} != $n || $e->{disconnections} != 0;
            }
        }
    }
}

# the name of an endpoint in an event

sub told {
    my ($type, $name) = @_;

    my ($list, $pipeline) = split /-/, $type;

    return $list . ($list eq 'input' ? '' : " $name")
           . ($pipeline eq 'backup' ? ' backup' : '');
}

my $generation = $t->status->{generation};
my %seen;

# reloads, and tests that exactly this is told, once in error.log and once as
# an event: "flow: message" or "flow endpoint: message"

sub reload {
    my ($what, @changes) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    for (@changes) {
        $named{$1} = 1 if /^([^:]*put[^:]*):/;
    }

    $t->log_mark;
    my ($exit, $out) = $t->reload(flows => conf());
    diag($out) if $exit;

    $generation++;
    $reloads++;

    $t->poll(sub { my $s = $t->status; $s && $s->{generation} == $generation
                   && !grep { $pid{$_} && !$s->{flows}{$_}{exiting} }
                      keys %flows }, 10);
    look($what);

    my @logged;

    for (split /\n/, $t->log) {
        if (/\[notice\].*flow "(.*?)", (\S+) "(.*?)": config_changed: (.*)/) {
            push @logged, "$1 " . told($2, $3) . ": $4";

        } elsif (/\[notice\].*flow "(.*?)": config_changed: (.*)/) {
            push @logged, "$1: $2";
        }
    }

    my @events;

    for my $flow (sort keys %flows) {
        my @all = grep { $_->{code} eq 'config_changed' }
                  $t->events($flow, 'limit=1000');
        my $n = $seen{$flow} || 0;
        $seen{$flow} = @all;

        for (@all[$n .. $#all]) {
            push @events, "$flow" . (length($_->{name} || '')
                                     ? ' ' . told($_->{type}, $_->{name}) : '')
                          . ": $_->{message}";
        }
    }

    # with the protocol go other defaults, and pace= is by that of the source

    @logged = grep { !/output .*: changed: pace$/ } @logged;
    @events = grep { !/output .*: changed: pace$/ } @events;

    s/: URL\K, .*// for @logged, @events;

    is(join("\n", sort @logged), join("\n", sort @changes),
       "$what: in error.log");

    # nobody can ask for the events of a flow that is gone

    is(join("\n", sort @events),
       join("\n", sort grep { !/flow is removed/ } @changes),
       "$what: as events");
}

sub event {
    my ($flow, $code, $re) = @_;

    return grep { $_->{code} eq $code && $_->{message} =~ $re }
           $t->events($flow, 'limit=1000');
}

sub state_is {
    my ($flow, $name, $state, $seconds, $what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    return $t->wait_for(sub {
        my $e = defined $name ? $t->output($flow, $name) : $t->source($flow);
        $e && $e->{state} eq $state
    }, $seconds, $what);
}

sub ended {
    my ($p, $seconds) = @_;

    return $t->poll(sub { $p->err =~ /lost|gone|closed/ || !$p->running },
                    $seconds, 0.02);
}

sub connect_ {
    my ($url, @options) = @_;

    return $t->mcpkt_run('connect', $url, '--wait', 10, @options);
}

# a worker that opens a port takes a moment, one that closes it too

sub free {
    my ($port, $seconds) = @_;

    return $t->poll(sub {
        IO::Socket::INET->new(Proto => 'udp', LocalAddr => '127.0.0.1',
                              LocalPort => $t->port($port))
    }, $seconds, 0.02);
}


# nothing

reload('nothing');


# words

$flows{all}{conf}{mc_title} = 'Another title';
$flows{all}{conf}{mc_description} = 'A description';
$flows{all}{outputs}{l} .= ' "description=An output"';
$flows{all}{primary} .= ' "description=A source"';
$flows{idle}{conf}{mc_title} = 'Idle';
$flows{udp}{primary} .= ' description=udp';

reload('words',
       'all: changed: mc_title, mc_description',
       'all output l: changed: description',
       'all input: changed: description',
       'udp input: changed: description',
       'idle: changed: mc_title');

# they are named, but nothing at all is to happen to them

delete @named{'all output l', 'all input', 'udp input'};

my $f = $t->flow('all');
is($f->{title}, 'Another title', 'mc_title');
is($f->{description}, 'A description', 'mc_description');
is($f->{sources}[0]{description}, 'A source', 'description of a source');
is($t->output('all', 'l')->{description}, 'An output', 'and of an output');
is($t->flow('idle')->{title}, 'Idle', 'of a flow that is not live');
$t->wait_for(sub { my $p = $t->flow('idle')->{pid};
                   grep { $_ == $p } $t->worker_pids }, 10,
             'which the new worker runs');


# outputs come

$flows{all}{outputs}{xl} = 'srt://:%%x_l%%';
$flows{all}{outputs}{xc} = 'srt://127.0.0.1:%%x_c%%';
$flows{all}{outputs}{xr} = 'rtp://127.0.0.1:%%x_r%%';
$flows{all}{outputs}{xu} = 'udp://127.0.0.1:%%x_u%%';
$flows{udp}{outputs}{xl} = 'srt://:%%xu_l%%';

my %x;

$x{xc} = $t->mcpkt('recv', 'srt://127.0.0.1:%%x_c%%?mode=listener', '--wait',
                   30);
$x{xr} = $t->mcpkt('recv', 'rtp://127.0.0.1:%%x_r%%');
$x{xu} = $t->mcpkt('recv', 'udp://127.0.0.1:%%x_u%%');

reload('outputs come', map({ "all output $_: added" } qw/ xl xc xr xu /),
       'udp output xl: added');
my $start = time();

$x{xl} = $t->mcpkt('recv', 'srt://127.0.0.1:%%x_l%%');
$x{uxl} = $t->mcpkt('recv', 'srt://127.0.0.1:%%xu_l%%');

for (qw/ xl xc xr xu /) {
    state_is('all', $_, 'connected', 10, "$_ works");
}

cmp_ok(time() - $start, '<', 4, 'at once');

$t->wait_for(sub {
    !grep { $t->output('all', $_)->{packets} < 50 } qw/ xl xc xr xu /
}, 10, 'and carry packets');
state_is('udp', 'xl', 'connected', 10, 'to a flow with a UDP source too');


# off, and on again

$flows{all}{outputs}{$_} .= ' off' for qw/ xl xc xr xu /;
reload('off', map { "all output $_: changed: off" } qw/ xl xc xr xu /);
state_is('all', $_, 'stopped', 10, "$_ is off") for qw/ xl xc xr xu /;

ok(ended($x{xl}, 3), 'the receiver of a listener sees it');
ok(ended($x{xc}, 3), 'and that of a caller');
ok(free('x_l', 3), 'the port is free');

for (qw/ xl xc xr xu /) {
    my $got = ($x{$_}->stop, $x{$_}->json)[1];
    cmp_ok($got->{datagrams} || 0, '>', 20, "$_ carried packets")
        if /[ru]$/;
    is(join(' ', grep { $got->{$_} } qw/ lost duplicate corrupted cc_errors /),
       '', 'and lost none') or diag(explain($got));
}

$x{xc} = $t->mcpkt('recv', 'srt://127.0.0.1:%%x_c%%?mode=listener', '--wait',
                   30);

s/ off// for values %{ $flows{all}{outputs} };
reload('on', map { "all output $_: changed: off" } qw/ xl xc xr xu /);
$x{xl} = $t->mcpkt('recv', 'srt://127.0.0.1:%%x_l%%');
state_is('all', $_, 'connected', 10, "$_ is on again") for qw/ xl xc xr xu /;


# others in their places

$flows{all}{outputs}{xl} = 'srt://:%%x_l2%%';
$flows{all}{outputs}{xc} = 'srt://127.0.0.1:%%x_c2%%';
$flows{all}{outputs}{xr} = 'rtp://127.0.0.1:%%x_r2%%';
$flows{all}{outputs}{xu} = 'rtp://127.0.0.1:%%x_u%%';
$flows{udp}{outputs}{xl} = 'udp://127.0.0.1:%%xu_l%%';

my %y;

$y{xc} = $t->mcpkt('recv', 'srt://127.0.0.1:%%x_c2%%?mode=listener', '--wait',
                   30);
$y{xr} = $t->mcpkt('recv', 'rtp://127.0.0.1:%%x_r2%%');
$y{xu} = $t->mcpkt('recv', 'rtp://127.0.0.1:%%x_u%%');

reload('URLs',
       map({ "all output $_: changed, is opened anew: URL" } qw/ xl xc xr /),
       'all output xu: changed, is opened anew: URL',
       'udp output xl: changed, is opened anew: URL');

ok(ended($x{xl}, 3), 'a listener on another port lets its receivers go');
ok(ended($x{xc}, 3), 'a caller to another port lets its receiver go');
ok(ended($x{uxl}, 3), 'as does one with another protocol');
ok(free('x_l', 3), 'the old port is free');
$y{xl} = $t->mcpkt('recv', 'srt://127.0.0.1:%%x_l2%%');
state_is('all', $_, 'connected', 10, "$_ works elsewhere") for qw/ xl xc xr xu /;
$t->wait_for(sub {
    !grep { $y{$_}->running && $t->output('all', $_)->{packets} < 150 }
          qw/ xl xc xr xu /
}, 10, 'and carry packets');


# outputs go

delete @{ $flows{all}{outputs} }{qw/ xl xc xr xu /};
delete $flows{udp}{outputs}{xl};
reload('outputs go', map({ "all output $_: removed" } qw/ xl xc xr xu /),
       'udp output xl: removed');

ok(ended($y{xl}, 3), 'the receiver of a listener sees it');
ok(ended($y{xc}, 3), 'and that of a caller');
ok(free('x_l2', 3), 'the port is free');
is(scalar @{ $t->flow('all')->{outputs} }, 4, 'they are gone');

for (qw/ xl xc xr xu /) {
    my $got = ($y{$_}->stop, $y{$_}->json)[1];
    cmp_ok($got->{datagrams} || 0, '>', 20, "$_ carried packets")
        if /[ru]$/;
    is(join(' ', grep { $got->{$_} } qw/ lost duplicate corrupted cc_errors /),
       '', 'and lost none') or diag(explain($got));
}

$_->stop for values %x;


# limits: 3 Mbit/s arrive

my $probe = send_('limit', 'udp://127.0.0.1:%%idle_u%%', '--rate', '3m');
$flows{limit} = { primary => 'udp://127.0.0.1:%%idle_u%%',
                  outputs => { u => 'udp://127.0.0.1:%%idle_uo%%' } };
reload('a flow comes', 'limit: the flow is added');
state_is('limit', undef, 'connected', 10, 'it is fed');
$pid{limit} = $t->flow('limit')->{pid};

$flows{limit}{conf}{mc_max_bandwidth} = '2m';
reload('a limit', 'limit: changed: mc_max_bandwidth',
       'limit input: changed: max_bandwidth');
$t->wait_for(sub { $t->source('limit')->{exceeded_packets} > 50 }, 10,
             'a lower limit applies');
is($t->flow('limit')->{max_bandwidth}, 2000000, 'and is told');

$flows{limit}{primary} .= ' max_bandwidth=20m';
reload('a higher one', 'limit input: changed: max_bandwidth');

my $exceeded = $t->source('limit')->{exceeded_packets};
my $packets = $t->source('limit')->{packets};
$t->wait_for(sub { $t->source('limit')->{packets} > $packets + 300 }, 10,
             'packets arrive');
is($t->source('limit')->{exceeded_packets}, $exceeded,
   'a higher limit applies');

$flows{limit}{primary} =~ s/ max_band.*//;
$flows{limit}{conf}{mc_max_bandwidth} = '2m exceed=alarm';
$flows{limit}{conf}{mc_batch} = '10ms';
$flows{all}{conf}{mc_batch} = '0';
$flows{rtp}{conf}{mc_batch} = '20ms';
$flows{udp}{conf}{mc_batch} = '0';
$flows{pull}{conf}{mc_batch} = '5ms';
reload('batches', map({ "$_: changed: mc_batch" } qw/ all rtp udp pull /),
       'limit: changed: mc_batch, mc_max_bandwidth',
       'limit input: changed: max_bandwidth');
is($t->source('limit')->{connections}, 1, 'the sender is the same');
$t->wait_for(sub { $t->source('limit')->{exceeded_packets} > $exceeded + 50 },
             5, 'exceed=alarm');
is($t->output('limit', 'u')->{packets} > 0, 1, 'goes on');

$flows{limit}{conf} = {};
reload('no limit', 'limit: changed: mc_batch, mc_max_bandwidth',
       'limit input: changed: max_bandwidth');
$exceeded = $t->source('limit')->{exceeded_packets};
$packets = $t->source('limit')->{packets};
$t->wait_for(sub { $t->source('limit')->{packets} > $packets + 300 }, 10,
             'packets arrive');
is($t->source('limit')->{exceeded_packets}, $exceeded, 'no limit at all');
is($t->source('limit')->{connections}, 1, 'the sender is still the same');
(delete $send{limit})->stop;
delete $flows{limit};


# who may come

$flows{access}{outputs}{l} =~ s/allow=.*/allow=127.0.0.2,127.0.0.5/;
$flows{access}{conf}{mc_allow} = '127.0.0.4 127.0.0.5';
$flows{audp}{primary} =~ s/allow=.*/allow=127.0.0.3/;
$flows{artp}{primary} =~ s/allow=.*/allow=127.0.0.3/;

reload('who may come', 'limit: the flow is removed',
       'access output l: changed: allow', 'access input: changed: allow',
       'audp input: changed: allow', 'artp input: changed: allow');

is(connect_('srt://127.0.0.1:%%acc_l%%', '--bind', '127.0.0.5')->{connected},
   JSON::PP::true, 'a receiver that is allowed now gets in');

for ([l => $t->output('access', 'l'), '127.0.0.3'],
     [in => $t->source('access'), '127.0.0.2'])
{
    my ($what, $e, $peer) = @$_;

    $t->wait_for(sub { event('access', 'disconnected', qr/no longer allowed/) },
                 2, "$what: one that is no longer is cut off");

    my ($event) = grep { ($_->{peer} || '') =~ /^\Q$peer\E:/ }
                  event('access', 'disconnected', qr/no longer allowed/);
    ok($event, "$what: an event with the peer");

    $t->wait_for(sub {
        grep { ($_->{peer} || '') =~ /^\Q$peer\E:/ }
             event('access', 'rejected_address', qr/./)
    }, 10, "$what: and refused when it comes back");
}

is(scalar @{ $t->output('access', 'l')->{peers} }, 1, 'the other stays');
like($t->output('access', 'l')->{peers}[0]{address}, qr/^127\.0\.0\.2:/,
     'which is allowed');
is($t->output('access', 'l')->{disconnections}, 2, 'it was not touched');

send_('access 4', 'srt://127.0.0.1:%%acc_in%%', '--bind', '127.0.0.4');
$t->wait_for(sub { ($t->source('access')->{peer} || '') =~ /^127\.0\.0\.4:/ },
             3, 'a sender that is allowed now gets in');

for my $flow (qw/ audp artp /) {
    state_is($flow, undef, 'waiting', 10, "$flow: waits");
    ok(event($flow, 'disconnected', qr/no longer allowed/), "$flow: cut off");

    my $n = $t->source($flow)->{rejected};
    $t->wait_for(sub { $t->source($flow)->{rejected} > $n + 5 }, 10,
                 "$flow: datagrams are refused");
    ok(event($flow, 'rejected_address', qr/./), "$flow: as is told");

    send_("$flow 3", substr($flow, 1) . "://127.0.0.1:%%${flow}_in%%",
          '--bind', '127.0.0.3');
    $t->wait_for(sub { ($t->source($flow)->{peer} || '') =~ /^127\.0\.0\.3:/ },
                 3, "$flow: one that is allowed now gets in");
}

$flows{audp}{primary} =~ s/ allow=.*//;
$flows{artp}{primary} =~ s/ allow=.*//;
$flows{access}{conf} = {};
$flows{access}{outputs}{l} =~ s/ allow=.*//;
(delete $send{$_})->stop for qw/ audp artp access /;
reload('anybody', 'access output l: changed: allow',
       'access input: changed: allow',
       'audp input: changed: allow', 'artp input: changed: allow');
is($t->source($_)->{connections}, 2, "$_: the sender stays")
    for qw/ audp artp access /;
is(connect_('srt://127.0.0.1:%%acc_l%%', '--bind', '127.0.0.9')->{connected},
   JSON::PP::true, 'anybody gets in');


# keys and latencies of listeners

$flows{keys}{primary} =
    "srt://:%%keys_in%% passphrase=$secret{keys1} latency=300ms";
$flows{keys}{outputs}{l} = "srt://:%%keys_l%%"
                           . " passphrase=$secret{keys1} pbkeylen=32"
                           . " latency=4s";

reload('keys of listeners',
       'keys input: changed: latency, passphrase',
       'keys output l: changed: latency, passphrase,'
       . ' pbkeylen');
delete @named{'keys input', 'keys output l'};
look('keys of listeners');

my $c = connect_("srt://127.0.0.1:%%keys_l%%?passphrase=$secret{keys0}");
is($c->{reject_reason}, 10, 'the old passphrase is refused')
    or diag(explain($c));
$t->wait_for(sub { event('keys', 'rejected_passphrase', qr/./) }, 10,
             'as an event tells');

# from here on it has more than one

$named{'keys output l'} = 1;

my $new = recv_('keys new',
                "srt://127.0.0.1:%%keys_l%%?passphrase=$secret{keys1}");
$t->wait_for(sub { @{ $t->output('keys', 'l')->{peers} } == 2 }, 10,
             'the new one gets in');

my @peers = sort { $a->{id} <=> $b->{id} }
            @{ $t->output('keys', 'l')->{peers} };
$t->wait_for(sub {
    @peers = sort { $a->{id} <=> $b->{id} }
             @{ $t->output('keys', 'l')->{peers} };
    $peers[1]{srt}{key_length}
}, 10, 'and has a key');

is($peers[0]{srt}{key_length}, 16, 'the old connection has the old key');
is($peers[1]{srt}{key_length}, 32, 'the new one has one of the new length');
is($peers[0]{srt}{send_latency_ms}, 1000, 'the old one has the old latency');
is($peers[1]{srt}{send_latency_ms}, 4000, 'the new one has the new one');

# a port whose listener was made anew a moment ago is once more

$flows{keys}{outputs}{l} =~ s/latency=4s/latency=5s/;
$flows{keys}{outputs}{l} .= ' rekey=disconnect';
$flows{keys}{primary} .= ' rekey=disconnect';
reload('rekey=disconnect', 'keys input: changed: rekey',
       'keys output l: changed: latency, rekey');
is(@{ $t->output('keys', 'l')->{peers} }, 2, 'cuts nobody off by itself');
is($t->source('keys')->{connections}, 1, 'and no sender');
$c = connect_("srt://127.0.0.1:%%keys_l%%?passphrase=$secret{keys1}");
is($c->{connected}, JSON::PP::true, 'the port still takes callers');
is($c->{recv_latency}, 5000, 'with the newest latency');

# what was sent with the old key is to be looked at before the end of that

$_->stop for $recv{'keys l'};
my $keys = (delete $recv{'keys l'})->json;
is(join(' ', grep { $keys->{$_} } qw/ lost duplicate corrupted cc_errors /),
   '', 'the receiver with the old key lost nothing') or diag(explain($keys));
cmp_ok($keys->{datagrams}, '>', 300, 'of many packets');

$flows{keys}{primary} =~ s/passphrase=\S+/passphrase=$secret{keys2}/;
$flows{keys}{outputs}{l} =~ s/passphrase=\S+/passphrase=$secret{keys2}/;
$pid{keys} = 0;
reload('another key', 'keys input: changed: passphrase',
       'keys output l: changed: passphrase');
ok(ended($new, 3), 'rekey=disconnect: a receiver is cut off');
ok(ended($send{keys}, 3), 'and a sender');
# that of the receiver may come later, together with the end of another

$t->wait_for(sub { event('keys', 'disconnected', qr/passphrase was changed/)
                   == 2 }, 5, 'as events tell');
(delete $recv{'keys new'})->stop;
(delete $send{keys})->stop;

$c = connect_("srt://127.0.0.1:%%keys_in%%?passphrase=$secret{keys0}");
is($c->{reject_reason}, 10, 'the source refuses the old passphrase');
$c = connect_("srt://127.0.0.1:%%keys_in%%?passphrase=$secret{keys2}");
is($c->{connected}, JSON::PP::true, 'and takes the new one')
    or diag(explain($c));
is($c->{send_latency}, 300, 'with the new latency');

# nobody is connected now: it is a new worker's

$t->wait_for(sub { my $p = $t->flow('keys')->{pid};
                   grep { $_ == $p } $t->worker_pids }, 10,
             'a flow that is no longer live goes to the new worker');
delete $flows{keys};


# keys and latencies of callers

my $one = recv_('callers new', 'srt://127.0.0.1:%%cal_c2%%?mode=listener',
                '--reconnect');
$flows{callers}{outputs}{d} = 'srt://127.0.0.1:%%cal_c2%%';
reload('a caller', 'keys: the flow is removed', 'callers output d: added');
state_is('callers', 'd', 'connected', 10, 'one more caller');
$flows{callers}{outputs}{d} .= ' latency=2500ms';
reload('latency of a caller',
       'callers output d: changed, is opened anew: latency');
$t->wait_for(sub {
    my $o = $t->output('callers', 'd');
    $o->{connections} == 2 && $o->{srt}{send_latency_ms} == 2500
}, 10, 'it connects again with the new latency');
delete $flows{callers}{outputs}{d};
reload('the caller goes', 'callers output d: removed');
ok(ended($one, 3), 'its receiver sees that');
(delete $recv{'callers new'})->stop;

# their peers have another passphrase, of which they do not know yet

my $before = (delete $recv{'callers c'});
$before->stop;
(delete $send{callers})->stop;
$named{$_} = 1 for 'callers output c', 'callers input';

recv_('callers c', "srt://127.0.0.1:%%cal_c%%?mode=listener"
                   . "&passphrase=$secret{push1}", '--reconnect');
send_('callers', "srt://127.0.0.1:%%cal_in%%?mode=listener"
                 . "&passphrase=$secret{pull1}", '--reconnect');

$t->wait_for(sub { ($t->output('callers', 'c')->{last_error} || '')
                   =~ /wrong passphrase/ }, 10,
             'a receiver with another passphrase');
$t->wait_for(sub { ($t->source('callers')->{last_error} || '')
                   =~ /wrong passphrase/ }, 10, 'a sender too');

$flows{callers}{outputs}{c} =~ s/passphrase=\S+/passphrase=$secret{push1}/;
$flows{callers}{primary} =~ s/passphrase=\S+/passphrase=$secret{pull1}/;
reload('keys of callers',
       'callers input: changed, is opened anew: passphrase',
       'callers output c: changed, is opened anew: passphrase');
state_is('callers', 'c', 'connected', 10, 'the output connects at once');
state_is('callers', undef, 'connected', 10, 'so does the source');


# backups, and other sources

$flows{swap}{backup} = 'srt://:%%swap_b%%';
$flows{swap}{backups} = { l => 'srt://:%%swap_bl%%',
                          u => 'udp://127.0.0.1:%%swap_bu%%' };
my $back = $t->mcpkt('recv', 'udp://127.0.0.1:%%swap_bu%%');
reload('backups', 'swap input backup: added', 'swap output l backup: added',
       'swap output u backup: added');
my $feed = $t->mcpkt('send', 'srt://127.0.0.1:%%swap_b%%', '--rate', '1m',
                     '--seconds', 60);
$t->wait_for(sub { $t->source('swap', 'backup')->{packets} > 30 }, 10,
             'the backup source is fed');
$t->wait_for(sub { $t->output('swap', 'u', 'backup')->{packets} > 30 }, 10,
             'and feeds the backup outputs');

delete @{ $flows{swap} }{qw/ backup backups /};
reload('no backups', 'swap input backup: removed',
       'swap output l backup: removed', 'swap output u backup: removed');
ok(ended($feed, 3), 'the backup sender sees that');
ok(free('swap_b', 3), 'the port is free');
$feed->stop;
$back->stop;
my $got = $back->json;
is(join(' ', grep { $got->{$_} } qw/ lost duplicate corrupted cc_errors /),
   '', 'the backup lost nothing');
is(scalar @{ $t->flow('swap')->{sources} }, 1, 'one source');

# each of the streams is numbered by itself

my $swapped = $send{swap};
$flows{swap}{primary} = 'srt://:%%swap_in2%%';
reload('port of a source', 'swap input: changed, is opened anew: URL');
ok(ended($swapped, 3), 'the sender sees it');
ok(free('swap_in', 3), 'the port is free');
(delete $send{swap})->stop;
send_('swap', 'srt://127.0.0.1:%%swap_in2%%');
state_is('swap', undef, 'connected', 10, 'one on the new port gets in');
my $sent = $t->source('swap')->{packets};
$t->wait_for(sub { $t->source('swap')->{packets} > $sent + 50 }, 10,
             'and is heard');

# the outputs' lines are the same: nothing of them is to change

$flows{swap}{primary} = 'udp://127.0.0.1:%%swap_in3%%';
reload('protocol of a source',
       'swap input: changed, is opened anew: URL');
(delete $send{swap})->stop;
send_('swap', 'udp://127.0.0.1:%%swap_in3%%');
state_is('swap', undef, 'connected', 10, 'UDP for SRT');
$sent = $t->output('swap', 'l')->{packets};
$t->wait_for(sub { $t->output('swap', 'l')->{packets} > $sent + 50 }, 10,
             'and feeds the outputs');


# stopped and started

$flows{udp}{conf}{mc_state} = 'off';
$named{$_} = 1 for map { ("udp $_") } 'input', 'output l', 'output u';
my ($ul, $uu) = delete @recv{'udp l', 'udp u'};
$pid{udp} = 0;
$t->reload(flows => conf());
$generation++;
$t->wait_for(sub { $t->flow('udp')->{status} eq 'stopped' }, 10, 'mc_state off');
ok(ended($ul, 3), 'its receiver sees that');
ok(free('udp_in', 3), 'its port is free');
$ul->stop;
$uu->stop;

for ([l => $ul->json], [u => $uu->json]) {
    my $g = $_->[1];
    is(join(' ', grep { $g->{$_} } qw/ lost duplicate corrupted cc_errors /),
       '', "$_->[0]: lost nothing until then") or diag(explain($g));
}

$flows{udp}{conf}{mc_state} = 'on';
$t->reload(flows => conf());
$generation++;
state_is('udp', undef, 'connected', 10, 'mc_state on');
delete $flows{udp}{conf}{mc_state};
$pid{udp} = $t->flow('udp')->{pid};


# what cannot be

for (['srt://127.0.0.1:9 rekey=disconnect', qr/rekey.*listen|listen.*rekey/,
      'on a caller'],
     ['rtp://127.0.0.1:9 rekey=keep', qr/rekey/, 'on RTP'],
     ['srt://:9999 rekey=nonsense', qr/rekey.*keep.*disconnect/,
      'neither keep nor disconnect'])
{
    my ($line, $re, $what) = @$_;
    my ($exit, $out) = $t->test_conf(
        "mc_flow a { mc_source udp://:9998; mc_output o $line; }");
    isnt($exit, 0, "rekey $what is refused");
    like($out, $re, 'with a reason') or diag($out);
    like($out, qr/in \S+test\.conf:\d+/, 'and a line');
}


# THE END

look('the end');
is(join("\n", map { "$_, after: $wrong{$_}" } sort keys %wrong), '',
   'what no reload named was never touched');
is(scalar(grep { !$first{$pid{$_}} } qw/ all pull rtp access swap /), 0,
   'all the time in the first workers');

kill 'TERM', map { $_->program || () } values %send;
$_->wait(10) for values %send;

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep { $_->{sources}[0]{state} eq 'connected' } values %{ $s->{flows} }
}, 10, 'sources end');

# the receivers have it a latency later

$t->poll(sub { 0 }, 1.2);
$_->stop for values %recv;

# of these all that was sent is known

my %sent = map { $_ => $send{$_}->json } qw/ all pull rtp /;

for my $name (sort keys %recv) {
    next if $name eq 'access 3';

    my $got = $recv{$name}->json;
    my ($flow) = split ' ', $name;

    my @bad = grep { $got->{$_} } qw/ lost duplicate reordered corrupted
                                      ts_lost ts_duplicate sync_errors
                                      psi_errors /;
    push @bad, 'cc_errors' if $got->{cc_errors} && $sent{$flow};
    push @bad, 'connections' if $name ne 'callers c'
                                && ($got->{connections} || 0) != 1;

    is("@bad", '', "$name: not a packet is lost") or diag(explain($got));
    is($got->{ts_packets}, $sent{$flow}{ts_packets}, "$name: all that was sent")
        if $sent{$flow};
}


# no passphrase anywhere

my $said = $t->read_file('error.log') . $t->get('')->{content}
           . join '', map { $t->get("/flows/$_/events?limit=1000")->{content} }
                          sort keys %flows;

unlike($said, qr/never-to-be-seen/, 'no passphrase is told');

$t->finish;
done_testing();
