#!/usr/bin/perl

# Reloads that are refused, by mc_guard and for other reasons: what is wrong
# is told, the generation stays, and nobody notices anything else.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;

# packets that come too late are dropped: a busy machine is no loss

my $latency = "mc_latency 1s;\n";

my $t = MC->new(start => 0, workers => 2, log => 'notice', main => $latency);

my %flows = (
    srt  => ['srt://:%%s_in%%', 'srt://:%%s_out%%'],
    udp  => ['udp://127.0.0.1:%%u_in%%', 'udp://127.0.0.1:%%u_out%%'],
    call => ['udp://127.0.0.1:%%c_in%%', 'srt://127.0.0.1:%%c_out%%'],
    idle => ['srt://:%%i_in%%', 'udp://127.0.0.1:%%i_out%%'],
);

sub conf {
    my (%f) = @_;

    return join '', map {
        "mc_flow $_ {\n    mc_source $f{$_}[0];\n    mc_output o $f{$_}[1];\n"
        . join('', map { "    $_\n" } @{ $f{$_} }[2 .. $#{ $f{$_} }]) . "}\n"
    } sort keys %f;
}

sub without {
    my %f = %flows;

    delete @f{@_};

    return conf(%f);
}

$t->{flows} = conf(%flows);
$t->start;

my %recv = (
    srt  => $t->mcpkt('recv', 'srt://127.0.0.1:%%s_out%%', '--seconds', 100,
                      '--wait', 30),
    udp  => $t->mcpkt('recv', 'udp://127.0.0.1:%%u_out%%', '--seconds', 100,
                      '--wait', 30),
    call => $t->mcpkt('recv', 'srt://127.0.0.1:%%c_out%%?mode=listener',
                      '--seconds', 100, '--wait', 30),
);

$t->wait_for(sub {
    !grep { ($t->output($_, 'o') || {})->{state} ne 'connected' } keys %recv
}, 10, 'outputs are connected');

my %send = map {
    my ($name, $url) = @$_;
    $name => $t->mcpkt('send', $url, '--seconds', 100, '--rate', '1m',
                       '--wait', 30)
} [srt => 'srt://127.0.0.1:%%s_in%%'], [udp => 'udp://127.0.0.1:%%u_in%%'];

$t->wait_for(sub {
    !grep { $t->source($_)->{state} ne 'connected' } keys %send
}, 10, 'two flows have sources, one only an output');


# what is not to change when a reload is refused

sub state_of {
    my $s = $t->status or return 'no status';

    return join "\n", "generation $s->{generation}",
        'workers ' . join(' ', sort $t->worker_pids(1)),
        map {
            my $f = $s->{flows}{$_};
            join ' ', $_, $f->{pid}, $f->{title} || '',
                 map { ($_->{state}, $_->{connections}, $_->{disconnections}) }
                     @{ $f->{sources} }, @{ $f->{outputs} }
        } sort keys %{ $s->{flows} };
}

sub settle {
    my $before = '';

    $t->poll(sub {
        my $now = state_of();
        my $same = $now eq $before && $t->worker_pids(1) <= 4;
        $before = $now;
        $same
    }, 5, 0.3);

    return $before;
}

# by the master, with a signal or after a test that shows nothing

sub refused {
    my ($what, $re, $error, %args) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $hup = delete $args{hup};
    my %restore = map { $_ => $t->{$_} } keys %args;
    my $before = settle();
    my $time = $t->status->{last_reload}{time};

    $t->log_mark;

    if ($hup) {
        $t->write_conf(%args);
        kill 'HUP', $t->pid;

    } else {
        my ($exit, $out) = $t->reload(wait => 0, %args);
        is($exit, 0, "$what: the file itself is right") or diag($out);
    }

    $t->wait_for(sub { my $s = $t->status;
                       $s && $s->{last_reload}{time} ne $time },
                 10, "$what: refused");
    my $s = $t->status;

    is($s->{last_reload}{result}, 'failed', "$what: as is told");
    like($s->{last_reload}{error} || '', $error, "$what: with the reason");
    like($t->log, qr/\[emerg\].*$re/, "$what: that error.log has too");
    is(state_of(), $before, "$what: and nothing else happens");
    like($t->get('/metrics')->{content},
         qr/^mc_config_last_reload_successful(?:\{.*\})? 0$/m,
         "$what: metrics say it") if $t->get('/metrics')->{status} == 200;

    $t->{$_} = $restore{$_} for keys %restore;
}

sub accepted {
    my ($what, %args) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $time = $t->status->{last_reload}{time};
    my ($exit, $out) = $t->reload(%args);

    is($exit, 0, "$what: accepted") or diag($out);
    $t->wait_for(sub { my $s = $t->status;
                       $s && $s->{last_reload}{time} ne $time }, 10,
                 "$what: in force");

    my $s = $t->status;

    is($s->{last_reload}{result}, 'ok', "$what: as is told");
    is($s->{last_reload}{error}, undef, "$what: the error is gone");

    return $s;
}


# mc_guard

my $guard = "${latency}mc_guard on;\n";

accepted('guard', main => $guard);

for my $name (sort keys %recv) {
    refused("guard, $name", qr/flow "$name" is live.*mc_guard/,
            qr/mc_guard: flow "$name" is live/, flows => without($name));
}

# all go but what is not live

refused('guard, all', qr/flow "\w+" is live/, qr/flow "(?:srt|udp|call)"/,
        flows => without(keys %recv));

# it is the new configuration's word that counts

refused('guard, a signal', qr/flow "srt" is live/, qr/flow "srt"/,
        flows => without('srt'), hup => 1);

# another name is another flow

{
    my %f = %flows;
    $f{renamed} = delete $f{srt};
    refused('guard, a name', qr/flow "srt" is live/, qr/flow "srt"/,
            flows => conf(%f));
}

# what it does not forbid

my $s = accepted('guard, not live', flows => without('idle'));
ok(!$s->{flows}{idle}, 'a flow that is not live goes');

{
    my %f = %flows;
    $f{srt} = [@{ $f{srt} }, 'mc_title "Changed";',
               'mc_output x udp://127.0.0.1:%%x%%;'];
    $s = accepted('guard, a change', flows => conf(%f));
    is($s->{flows}{srt}{title}, 'Changed', 'a live flow may change');
    is($s->{flows}{srt}{sources}[0]{connections}, 1, 'in its place');
    $t->wait_for(sub { @{ $t->flow('srt')->{outputs} } == 2 }, 10,
                 'an output comes');
}

accepted('guard, back', flows => conf(%flows));
refused('guard, an old worker', qr/flow "udp" is live/, qr/flow "udp"/,
        flows => without('udp'));


# mistakes: the file is tested first, by whoever calls

sub mistaken {
    my ($what, $re, $error, %args) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my %restore = map { $_ => $t->{$_} } keys %args;
    my $before = settle();
    my $last = $t->status->{last_reload};

    my ($exit, $out) = $t->reload(wait => 0, %args);

    isnt($exit, 0, "$what: on the terminal, refused");
    like($out, $re, "$what: with the reason");
    like($out, qr/nginx\.conf:\d+/, "$what: and the line");
    is(state_of(), $before, "$what: nothing happens");
    is_deeply($t->status->{last_reload}, $last,
              "$what: the master was not asked");

    $t->{$_} = $restore{$_} for keys %restore;

    refused("$what, a signal", $re, $error, %args, hup => 1);
}

my $any = qr/./;

mistaken('a directive', qr/unknown directive "mc_nothing"/, $any,
         flows => conf(%flows) . "mc_nothing on;\n");
mistaken('a parameter', qr/latncy/, $any,
         flows => conf(%flows, srt => ['srt://:%%s_in%% latncy=1s',
                                       'srt://:%%s_out%%']));
mistaken('a passphrase', qr/passphrase/, $any,
         flows => conf(%flows, srt => ['srt://:%%s_in%% passphrase=hidden',
                                       'srt://:%%s_out%%']));

$s = $t->status;
unlike($t->read_file('error.log') . ($s->{last_reload}{error} || ''),
       qr/hidden/, 'the passphrase itself is not told');


# shared memory

my %many = %flows;
$many{"many$_"} = ['udp://127.0.0.1:%%many%%', 'udp://127.0.0.1:9',
                   "mc_description \"" . 'x' x 250 . "\";"]
    for 1 .. 3;

{
    # no zone at all is so small that nothing fits, and nothing runs

    my ($exit, $out) = $t->test_conf(conf(%flows),
                                     main => "mc_zone_size 8k;\n");
    isnt($exit, 0, 'mc_zone_size 8k');
    like($out, qr/mc_zone_size.*\d/, 'is told to be too small') or diag($out);
}

refused('zone size', qr/"mc_zone_size" cannot change while flow "\w+" is live/,
        qr/mc_zone_size/, main => "${guard}mc_zone_size 32m;\n");
refused('zone size, guard off',
        qr/"mc_zone_size" cannot change while flow "\w+" is live/,
        qr/mc_zone_size/, main => "${latency}mc_zone_size 32m;\n");
refused('zone size, a signal',
        qr/"mc_zone_size" cannot change while flow "\w+" is live/,
        qr/mc_zone_size/, main => "${latency}mc_zone_size 128m;\n", hup => 1);

accepted('afterwards', main => $guard);


# without the guard

$s = accepted('no guard', main => $latency, flows => without('call'));
ok(!$s->{flows}{call}, 'a live flow is deleted');
$t->wait_for(sub { $recv{call}->err =~ /lost|gone|closed/
                   || !$recv{call}->running }, 3, 'its receiver sees that');
(delete $recv{call})->stop;
accepted('guard again', main => $guard);

$t->allow(qr/\[emerg\].*flow "\w+" is live and would be deleted/,
          qr/\[emerg\].*"mc_zone_size" cannot change/,
          qr/\[emerg\].*nginx\.conf:\d+/);


# of all that nobody has noticed anything

my %sent;

for (keys %send) {
    kill 'TERM', $send{$_}->program;
    $sent{$_} = $send{$_}->json;
}

$t->wait_for(sub {
    !grep { $t->source($_)->{state} eq 'connected' } keys %send
}, 10, 'sources end');

# the receivers have it a latency later

$t->poll(sub { 0 }, 1.2);

for (sort keys %recv) {
    $recv{$_}->stop;
    my $got = $recv{$_}->json;

    my @bad = grep { $got->{$_} } qw/ lost duplicate reordered corrupted
                                      ts_lost ts_duplicate cc_errors
                                      sync_errors psi_errors /;
    push @bad, 'connections' if $got->{connections} != 1;

    is("@bad", '', "$_: not a packet is lost, not a connection")
        or diag(explain($got));
    is($got->{ts_packets}, $sent{$_}{ts_packets}, "$_: all that was sent");
}

# the receivers are gone too: nothing is live

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep { $_->{outputs}[0]{protocol} eq 'srt'
            && $_->{outputs}[0]{state} eq 'connected' } values %{ $s->{flows} }
}, 10, 'nothing is live');

$s = accepted('guard, all may go', flows => conf(idle => $flows{idle}));
is(join(' ', keys %{ $s->{flows} }), 'idle', 'one is left');

accepted('zone size, nothing live', main => "${guard}mc_zone_size 32m;\n",
         flows => conf(%flows));

my $feed = $t->mcpkt('send', 'srt://127.0.0.1:%%s_in%%', '--seconds', 60,
                     '--rate', '1m', '--wait', 15);
$t->wait_for(sub { ($t->source('srt') || {})->{packets} }, 15,
             'flows run in the new zone');

accepted('a reload after that', flows => conf(%flows));
is($t->source('srt')->{connections}, 1, 'keeps what is live');
$feed->stop;
$t->finish;


# a zone that is too small for what comes: the test of the file tells, too

$t = MC->new(workers => 1, log => 'notice', main => "mc_zone_size 1m;\n",
             flows => "mc_flow a { mc_source udp://127.0.0.1:%%a%%;"
                      . " mc_output o udp://127.0.0.1:%%b%%; }\n");

# each at an address of its own

my $one = $t->{flows};

# outputs that are off take room and no descriptors, of which an ordinary user
# has 1,024

sub many {
    my ($letter, $n) = @_;

    return $one
        . join '', map { my $i = $_;
                         "mc_flow $letter$i { mc_source udp://127.77."
                         . ($i >> 8) . '.' . ($i & 255) . ":%%a%%;\n"
                         . join('', map {
                                        "mc_output o$_ udp://127.0.0.1:9 off;\n"
                                    } 1 .. 10)
                         . "}\n" } 1 .. $n;
}

my $sink = $t->mcpkt('recv', 'udp://127.0.0.1:%%b%%', '--seconds', 100);
$feed = $t->mcpkt('send', 'udp://127.0.0.1:%%a%%', '--seconds', 60, '--rate',
                  '1m');
$t->wait_for(sub { $t->source('a')->{state} eq 'connected' }, 10, 'a flow');

my $needs = qr/301 flows need "mc_zone_size (\d+)m", it is 1m/;
my $before = settle();
my ($exit, $out) = $t->reload(wait => 0, flows => many('f', 300));

isnt($exit, 0, 'room: refused');
like($out, $needs, 'with the size that is needed');
is(state_of(), $before, 'nothing happens');

my ($size) = $out =~ $needs;

$t->allow(qr/\[emerg\].*$needs/);

# whatever is said to be needed has to do

$feed->stop;
$t->wait_for(sub { ($t->source('a') || {})->{state} eq 'waiting' }, 10,
             'nothing is live');
$t->{flows} = $one;
my $s1 = accepted('with that size', main => "mc_zone_size ${size}m;\n",
                  flows => many('f', 300));
is(scalar keys %{ $s1->{flows} }, 301, 'there is room');

accepted('once more', flows => many('f', 300));

# as many others: for a while all have to be there

$feed = $t->mcpkt('send', 'udp://127.0.0.1:%%a%%', '--seconds', 60, '--rate',
                  '1m');
$t->wait_for(sub { $t->source('a')->{state} eq 'connected' }, 10, 'a flow');

my $time = $t->status->{last_reload}{time};
my $connections = $t->source('a')->{connections};

$t->reload(wait => 0, flows => many('g', 300));
$t->wait_for(sub { $t->status->{last_reload}{time} ne $time }, 10,
             'all other flows: decided');

my $last = $t->status->{last_reload};

SKIP: {
    skip 'there is room', 2 if $last->{result} eq 'ok';

    like($last->{error}, qr/no room in mc_zone_size.*are needed/,
         'no room: is told');

    my ($is, $need) = $last->{error} =~ /is (\d+) bytes, (\d+) are/;
    cmp_ok($need || 0, '>', $is || 0, 'no room: more is needed than there is');

    $t->allow(qr/\[emerg\].*no room in the shared memory/);
}

is($t->source('a')->{connections}, $connections, 'the live flow stays');
accepted('without them', flows => $one);
is($t->source('a')->{connections}, $connections, 'the live flow stays');

$t->finish;

done_testing();
