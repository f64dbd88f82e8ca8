#!/usr/bin/perl

# Reloads and flows that share SRT ports: one of them changes while others
# are live, and ports move between flows that live in different workers.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ time /;
use MC;

# packets that come too late are dropped: a busy machine is no loss

my $t = MC->new(start => 0, workers => 2, log => 'notice',
                main => "mc_latency 1s;\n");

my %flows;

sub conf {
    my $text = '';

    for my $name (sort keys %flows) {
        my $f = $flows{$name};

        $text .= "mc_flow $name {\n";
        $text .= "    mc_state off;\n" if $f->{off};
        $text .= "    mc_source $f->{in};\n";
        $text .= "    mc_output $_ $f->{out}{$_};\n"
            for sort keys %{ $f->{out} };
        $text .= "}\n";
    }

    return $text;
}

my $generation;

sub reload {
    my ($exit, $out) = $t->reload(flows => conf());
    diag($out) if $exit;

    $generation++;

    $t->poll(sub { my $s = $t->status;
                   $s && $s->{generation} == $generation }, 10);
}

sub ended {
    my ($p, $seconds) = @_;

    return $t->poll(sub { $p->err =~ /lost|gone|closed/ || !$p->running },
                    $seconds, 0.02);
}

my %send;
my %recv;

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

sub wait_state {
    my ($flow, $output, $state, $seconds, $what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $t->wait_for(sub {
        my $e = defined $output ? $t->output($flow, $output)
                                : $t->source($flow);
        $e && $e->{state} eq $state
    }, $seconds, $what);
}

sub flowing {
    my ($flow, $output, $what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $n = $t->output($flow, $output)->{packets};
    $t->wait_for(sub { $t->output($flow, $output)->{packets} > $n + 20 }, 10,
                 $what);
}

# an error of the flow's, and the log says it too

sub waits_for {
    my ($flow, $output, $other, $what) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $e;

    $t->wait_for(sub {
        $e = defined $output ? $t->output($flow, $output) : $t->source($flow);
        $e && $e->{state} eq 'connecting'
        && ($e->{last_error} || '') =~ /waits for flow "\Q$other\E"/
    }, 10, $what) or diag(explain($e));
}

# the end of a receiver: what it has seen

sub lossless {
    my ($name, $what, $sent) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $p = delete $recv{$name};
    $p->stop;
    my $got = $p->json;

    my @bad = grep { $got->{$_} } qw/ lost duplicate reordered corrupted
                                      ts_lost ts_duplicate sync_errors
                                      psi_errors /;
    push @bad, 'connections' if ($got->{connections} || 0) != 1;

    is("@bad", '', "$what: not a packet is lost, not a connection")
        or diag(explain($got));
    is($got->{ts_packets}, $sent->{ts_packets}, "$what: all that was sent")
        if $sent;
}

sub finish_sender {
    my ($name) = @_;

    my $p = delete $send{$name};
    kill 'TERM', $p->program;

    my $sent = $p->json;

    $t->wait_for(sub { $t->source($name)->{state} ne 'connected' }, 10,
                 "$name: the source ends");

    # the receivers have it a latency later

    $t->poll(sub { 0 }, 1.2);

    return $sent;
}

sub current {
    my ($flow) = @_;

    my $pid = $t->flow($flow)->{pid} || 0;

    return scalar grep { $_ == $pid } $t->worker_pids;
}


# ONE PORT

sub on {
    my ($port, $name, @params) = @_;

    return join ' ', "srt://:%%$port%% streamid=$name", @params;
}

sub url {
    my ($port, $name) = @_;

    return "srt://127.0.0.1:%%$port%%?streamid=$name";
}

for (qw/ a b c /) {
    $flows{$_} = { in => on('one', $_), out => { l => on('one', "$_-l") } };
}

$flows{b}{out}{u} = 'udp://127.0.0.1:%%bu%%';

# two flows with ports of their own, that live in two workers

for (qw/ p q /) {
    $flows{$_} = { in => on($_, "$_"), out => { l => "srt://:%%${_}_l%%",
                                                u => "udp://127.0.0.1:%%${_}_u%%" } };
}

$t->{flows} = conf();
$t->start;
$generation = $t->status->{generation};

recv_("$_ l", url('one', "$_-l")) for qw/ a b c /;
recv_('b u', 'udp://127.0.0.1:%%bu%%');
for (qw/ p q /) {
    recv_("$_ l", "srt://127.0.0.1:%%${_}_l%%");
    recv_("$_ u", "udp://127.0.0.1:%%${_}_u%%");
}

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep { $s->{flows}{$_}{outputs}[0]{state} ne 'connected' } keys %flows
}, 10, 'receivers are there');

send_($_, url('one', $_)) for qw/ a b c /;
send_($_, url($_, $_)) for qw/ p q /;

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep { $s->{flows}{$_}{sources}[0]{state} ne 'connected' } keys %flows
}, 10, 'all flows are live');

my %pid = map { $_ => $t->flow($_)->{pid} } keys %flows;

is($pid{b}, $pid{a}, 'flows of one port are in one worker');
isnt($pid{q}, $pid{p}, 'others in two');


# a passphrase, a latency, one more output

$flows{a}{in} = on('one', 'a', 'passphrase=some-passphrase', 'latency=2s');
$flows{a}{out}{l} = on('one', 'a-l', 'latency=2s', 'passphrase=a-passphrase',
                       'pbkeylen=32');
$flows{a}{out}{m} = on('one', 'a-m', 'passphrase=other-passphrase');
reload();

is($t->source('a')->{connections}, 1, 'a passphrase: the sender stays');
is($t->output('a', 'l')->{connections}, 1, 'so does the receiver');

my $c = $t->mcpkt_run('connect', url('one', 'a-l'), '--wait', 10);
is($c->{reject_reason}, 11, 'another needs the passphrase')
    or diag(explain($c));
$c = $t->mcpkt_run('connect',
                   url('one', 'a-l') . '&passphrase=a-passphrase',
                   '--wait', 10);
is($c->{recv_latency}, 2000, 'and gets the latency');
$c = $t->mcpkt_run('connect', url('one', 'b-l'), '--wait', 10);
is($c->{recv_latency}, 1000, 'that of another flow is the old one');

recv_('a m', url('one', 'a-m') . '&passphrase=other-passphrase');
wait_state('a', 'm', 'connected', 10, 'an output that came is there');
flowing('a', 'm', 'and has packets');


# a streamid

$flows{a}{out}{m} = on('one', 'a-n');
reload();
ok(ended($recv{'a m'}, 3), 'another streamid: the receiver is let go');
(delete $recv{'a m'})->stop;
$c = $t->mcpkt_run('connect', url('one', 'a-m'), '--wait', 10);
is($c->{reject_reason}, 1404, 'the old one is not found');
$c = $t->mcpkt_run('connect', url('one', 'a-n'), '--wait', 10);
is($c->{connected}, JSON::PP::true, 'the new one is');


# comes, is stopped, goes

$flows{d} = { in => on('one', 'd'), out => { l => on('one', 'd-l') } };
$flows{c}{off} = 1;
reload();
ok(ended($send{c}, 3), 'mc_state off: the sender sees it');
ok(ended($recv{'c l'}, 3), 'and the receiver');
(delete $send{c})->stop;
lossless('c l', 'until then');
is($t->flow('c')->{status}, 'stopped', 'it is stopped');
wait_state('d', undef, 'waiting', 10, 'another flow comes');
is($t->flow('d')->{pid}, $pid{a}, 'to the worker with the port');

send_('d', url('one', 'd'));
recv_('d l', url('one', 'd-l'));
flowing('d', 'l', 'and works');

delete $flows{d};
delete $flows{c}{off};
reload();
ok(ended($send{d}, 3), 'it goes: the sender sees it');
ok(ended($recv{'d l'}, 3), 'and the receiver');
(delete $send{d})->stop;
(delete $recv{'d l'})->stop;
wait_state('c', undef, 'waiting', 10, 'mc_state on');
is($t->flow('c')->{pid}, $pid{a}, 'in the same worker');
send_('c', url('one', 'c'));
wait_state('c', undef, 'connected', 10, 'it takes a sender');


# a flow leaves the port, live, and comes back to it

$flows{b}{in} = 'srt://:%%b_in%%';
reload();
ok(ended($send{b}, 3), 'a source leaves the port: the sender sees it');
(delete $send{b})->stop;
send_('b', 'srt://127.0.0.1:%%b_in%%');
wait_state('b', undef, 'connected', 10, 'it is elsewhere');
flowing('b', 'l', 'its outputs go on');
is($t->output('b', 'l')->{connections}, 2, 'which were not touched');
is($t->flow('b')->{pid}, $pid{a}, 'the flow is where it was');

$flows{b}{in} = on('one', 'b');
reload();
(delete $send{b})->stop;
send_('b', url('one', 'b'));
wait_state('b', undef, 'connected', 10, 'it comes back');

for (qw/ a b /) {
    is($t->output($_, 'l')->{state}, 'connected', "$_ l");
    is($t->flow($_)->{pid}, $pid{a}, "$_ has its worker");
}
is($t->source('a')->{connections}, 1, 'a was never touched');

my $sent = finish_sender('a');
lossless('a l', 'a', $sent);
lossless('b l', 'b');
lossless('b u', 'b');
(delete $send{$_})->stop for qw/ b c /;
delete @flows{qw/ a b c /};


# TWO WORKERS

# the source of q moves to p's port, which another worker has

my $loud = delete $send{q};
$flows{q}{in} = on('p', 'q');
reload();

ok(ended($loud, 3), 'q: the old port is left');
$loud->stop;
waits_for('q', undef, 'p', 'q: its source waits for p');
is($t->flow($_)->{pid}, $pid{$_}, "$_ is where it was") for qw/ p q /;
is($t->output($_, 'l')->{connections}, 1, "$_ l stays")  for qw/ p q /;
is($t->source('p')->{connections}, 1, 'p is not touched');
flowing('p', 'l', 'p goes on');

$c = $t->mcpkt_run('connect', url('p', 'q'), '--wait', 10);
is($c->{reject_reason}, 1404, 'p does not take what is for q');

# once more, while it waits

$flows{q}{out}{x} = 'udp://127.0.0.1:%%q_x%%';
reload();
waits_for('q', undef, 'p', 'q: still waits after another reload');
wait_state('q', 'x', 'connected', 10, 'q: an output comes meanwhile');

ok((grep { $_->{code} eq 'address_in_use' && $_->{message} =~ /"p"/ }
    $t->events('q')), 'q: an event tells for whom');

# the end of p: all is q's worker's

$sent = finish_sender('p');
lossless('p u', 'p', $sent);
lossless('p l', 'p', $sent);

$t->poll(sub { $t->output('p', 'l')->{state} ne 'connected' }, 10, 0.01);
my $start = time();
$t->wait_for(sub { $t->source('q')->{state} eq 'waiting' }, 10,
             'q gets the port when p ends');
cmp_ok(time() - $start, '<', 2, 'at once');
$t->wait_for(sub { $t->flow('p')->{pid} == $pid{q} }, 10,
             'p is in the same worker then');
is($t->flow('q')->{pid}, $pid{q}, 'where q stayed');

send_($_, url('p', $_)) for qw/ p q /;
wait_state($_, undef, 'connected', 10, "$_ is live") for qw/ p q /;
recv_('p l', 'srt://127.0.0.1:%%p_l%%');
flowing($_, 'l', "$_ l has packets") for qw/ p q /;
is($t->output('q', 'l')->{connections}, 1, 'to the receiver that stayed');

lossless('q l', 'q');
(delete $recv{$_})->stop for 'q u', 'p l';
(delete $send{$_})->stop for qw/ p q /;
%flows = ();


# WAITING FOR NOTHING

# what waits is asked for no longer, or is given up by a flow that lives on

sub alone {
    my (@names) = @_;

    %flows = map {
        $_ => { in => on($_, $_), out => { l => "srt://:%%${_}_l%%" } }
    } @names;

    reload();
    $t->wait_for(sub { $t->worker_pids(1) == 2 }, 15, 'no old workers');

    for (@names) {
        recv_("$_ l", "srt://127.0.0.1:%%${_}_l%%");
        send_($_, url($_, $_), '--reconnect');
    }

    wait_state($_, undef, 'connected', 10, "$_ is live") for @names;
    wait_state($_, 'l', 'connected', 10, "$_ has a receiver") for @names;

    %pid = map { $_ => $t->flow($_)->{pid} } @names;
}

alone(qw/ v w x /);
isnt($pid{w}, $pid{v}, 'v and w live in two workers');
is($pid{x}, $pid{v}, 'x in that of v');

$flows{w}{in} = on('v', 'w');
reload();
waits_for('w', undef, 'v', 'w waits');

# long enough for the attempts to be seldom

$t->wait_for(sub { $t->log =~ /waits for flow "v", next attempt in \d{4} ms/ },
             10, 'and tries ever less');

$flows{w}{in} = on('w', 'w');
reload();
wait_state('w', undef, 'connected', 10, 'w asks for its own port again');
is($t->flow($_)->{pid}, $pid{$_}, "$_ is where it was") for qw/ v w x /;

$flows{w}{in} = on('v', 'w');
$t->log_mark;
reload();
waits_for('w', undef, 'v', 'w waits once more');
$t->wait_for(sub { $t->log =~ /waits for flow "v", next attempt in \d{4} ms/ },
             10, 'and tries ever less');

$flows{v}{in} = 'srt://:%%v_in2%%';
my $fed = delete $send{v};
reload();
$t->wait_for(sub { $t->source('w')->{state} =~ /waiting|connected/ }, 2,
             'v leaves the port, and w gets it');
$fed->stop;
(delete $send{w})->stop;
send_('w', url('v', 'w'));
send_('v', 'srt://127.0.0.1:%%v_in2%%', '--reconnect');
wait_state($_, undef, 'connected', 10, "$_ is fed") for qw/ v w /;
is($t->flow($_)->{pid}, $pid{$_}, "$_ is where it was") for qw/ v w x /;
is($t->output($_, 'l')->{connections}, 1, "the receiver of $_ stayed")
    for qw/ v w x /;


# PORTS SWAPPED

sub swap {
    my ($one, $two, $where) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    @flows{$one, $two} = ({ %{ $flows{$one} }, in => $flows{$two}{in} },
                          { %{ $flows{$two} }, in => $flows{$one}{in} });

    my @fed = delete @send{$one, $two};

    reload();
    ok(ended($_, 3), "$where: a sender sees it") for @fed;
    $_->stop for @fed;

    for ($one, $two) {
        wait_state($_, undef, 'waiting', 2, "$where: $_ gets the port");

        my ($port, $id) = $flows{$_}{in} =~ /%%(\w+)%%(?: streamid=(\S+))?/;
        send_($_, "srt://127.0.0.1:%%$port%%"
                  . (defined $id ? "?streamid=$id" : ''));
    }

    for ($one, $two) {
        wait_state($_, undef, 'connected', 10, "$where: $_ is fed");
        flowing($_, 'l', "$where: and feeds its receiver");
        is($t->output($_, 'l')->{connections}, 1, "$where: which stays");
        is($t->flow($_)->{pid}, $pid{$_}, "$where: $_ is where it was");
    }
}

swap('v', 'x', 'in one worker');
swap('v', 'w', 'in two workers');

lossless("$_ l", $_) for qw/ v w x /;
(delete $send{$_})->stop for qw/ v w x /;
%flows = ();


# BETWEEN TWO

# g and h live in two workers; n has an endpoint on the port of each

for (qw/ g h /) {
    $flows{$_} = { in => on($_, $_), out => { l => "srt://:%%${_}_l%%" } };
}

reload();
$t->wait_for(sub { $t->worker_pids(1) == 2 }, 10, 'no flow, no old worker');
isnt($t->flow('g')->{pid}, $t->flow('h')->{pid}, 'flows in two workers')
    or diag(explain($t->flow('g')));

for (qw/ g h /) {
    recv_("$_ l", "srt://127.0.0.1:%%${_}_l%%");
    send_($_, url($_, $_));
}

wait_state($_, undef, 'connected', 10, "$_ is live") for qw/ g h /;
wait_state($_, 'l', 'connected', 10, "$_ has a receiver") for qw/ g h /;
%pid = map { $_ => $t->flow($_)->{pid} } qw/ g h /;

$flows{n} = { in => on('g', 'n'), out => { l => on('h', 'n-l'),
                                           u => 'udp://127.0.0.1:%%nu%%' } };
reload();
$t->wait_for(sub { $t->flow('n')->{pid} }, 10, 'n is there');

my $owner = $t->flow('n')->{pid};
ok(scalar(grep { $_ == $owner } values %pid), 'n is in an old worker')
    or diag("$owner, @pid{qw/ g h /}");

my $with_g = $owner == $pid{g};

if ($with_g) {
    wait_state('n', undef, 'waiting', 10, 'its source is there');
    waits_for('n', 'l', 'h', 'its output waits for h');

} else {
    wait_state('n', 'l', 'waiting', 10, 'its output is there');
    waits_for('n', undef, 'g', 'its source waits for g');
}

wait_state('n', 'u', 'connected', 10, 'what shares nothing is there');

# the one it waits for ends

my $other = $with_g ? 'h' : 'g';
my $stays = $with_g ? 'g' : 'h';

$sent = finish_sender($other);
lossless("$other l", $other, $sent);
$t->wait_for(sub {
    ($with_g ? $t->output('n', 'l') : $t->source('n'))->{state} eq 'waiting'
}, 10, 'n gets the other port');
$t->wait_for(sub { $t->flow($other)->{pid} == $owner }, 10,
             'all three are in one worker');

send_('n', url('g', 'n'));
recv_('n l', url('h', 'n-l'));
wait_state('n', undef, 'connected', 10, 'n takes a sender');
flowing('n', 'l', 'and feeds its receiver');
is($t->source($stays)->{connections}, 1, "$stays was not touched");
is($t->output($stays, 'l')->{connections}, 1, 'nor was its receiver');

# n goes, and is what joined them

my $feed = delete $send{n};
delete $flows{n};
reload();
ok(ended($feed, 3), 'n goes');
$feed->stop;
(delete $recv{'n l'})->stop;
$t->wait_for(sub { current($other) }, 10,
             'what it has joined goes to the new workers');
flowing($stays, 'l', "$stays goes on");

$sent = finish_sender($stays);
lossless("$stays l", $stays, $sent);
$t->wait_for(sub { $t->worker_pids(1) == 2 }, 10, 'the old workers leave');

$t->finish;
done_testing();
