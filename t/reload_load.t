#!/usr/bin/perl

# A hundred reloads in a row, each with a real change, as fast as the master
# takes them, beside twenty live flows of every kind: nobody who watches ever
# sees one of those missing, moved or counting back, and no packet is lost.

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
my $reloads = $ENV{MC_RELOADS} || 100;

my $t = MC->new(start => 0, workers => $workers, log => 'notice', limit => 180);
my $load = MC::Load->new($t, n => 20, rate => '400k', seconds => 170,
                         patient => 1);

my @names = $load->names;


# what changes: the title of a flow, the outputs of another, flows that come
# and go; and an output and the title of one that is live, whose other parts
# are to go on

my $changing = {
    source => 'udp://127.0.0.1:%%c_in%%', output => 'udp://127.0.0.1:%%c_out%%',
};

my %set;                # generation => names of its flows

sub flows {
    my ($n) = @_;

    my %others = (
        other => "mc_title \"title $n\"; mc_source srt://:%%o_in%%;"
                 . " mc_output o srt://:%%o_out%%;",
        grows => 'mc_source srt://:%%g_in%%;'
                 . join('', map { " mc_output o$_ udp://127.0.0.1:%%g_o$_%%;" }
                            0 .. $n % 5),
        changing => ($n % 2 ? "mc_title \"live $n\";" : '')
                    . " mc_source $changing->{source};"
                    . " mc_output o $changing->{output};"
                    . ($n % 3 ? ' mc_output more udp://127.0.0.1:%%c_more%%;'
                              : ''),
    );

    for (($n > 2 ? $n - 2 : 0) .. $n) {
        $others{"n$_"} = 'mc_source udp://127.0.0.1:%%n' . $_ % 8 . '%%;'
                         . ' mc_output o udp://127.0.0.1:%%n_out%%;';
    }

    $set{$n + 1} = join ' ', sort @names, keys %others;

    return $load->text
           . join '', map { "mc_flow $_ { $others{$_} }\n" } sort keys %others;
}

$t->{flows} = flows(0);
$t->start;
$load->begin;

my $c_recv = $t->mcpkt('recv', $changing->{output}, '--seconds', 170,
                       '--wait', 60);
my $c_send = $t->mcpkt('send', $changing->{source}, '--seconds', 170,
                       '--rate', '400k', '--tick', 5000);
$t->wait_for(sub { $t->source('changing')->{packets} }, 5,
             'and one that will be changed');


# a witness

my $first = $t->status->{flows};
my $url = $t->url('');
my $master = $t->pid;

is(scalar keys %{{ map { $first->{$_}{pid} => 1 } @names }}, $workers,
   'in all workers');

my $witness = $t->background('witness', sub {
    my ($ends) = @_;

    my %r = (samples => 0, failures => 0, processes => 0, sets => {},
             longest => 0, generation => 0, orphan => 0);
    my (%wrong, %leaving, %said, %count, $started);

    my $wrong = sub { $wrong{$_[0]} ||= "generation $r{generation}: $_[0]" };

    until ($ends->()) {
        my $at = time();
        $r{longest} = $at - $started
            if $started && $at - $started > $r{longest};
        $started = $at;

        my $answer = HTTP::Tiny->new(timeout => 5, proxy => undef,
                                     http_proxy => undef)->get($url);

        if ($answer->{status} != 200) {
            $r{failures}++;
            $r{failure} = "$answer->{status} $answer->{content}";
            next;
        }

        my $s = eval { decode_json($answer->{content}) };

        if (!$s) {
            $wrong->("no JSON: $@");
            next;
        }

        $r{samples}++;

        my $g = $s->{generation};

        $wrong->("generation goes back to $g") if $g < $r{generation};
        $r{generation} = $g;

        my @seen = $answer->{content} =~ /"([\w.-]+)":\{"title":/g;
        $r{sets}{$g}{join ' ', sort @seen} = 1;

        for my $name (@names, 'changing', 'other', 'grows') {
            my $f = $s->{flows}{$name};

            if (!$f) {
                $wrong->("$name is missing");
                next;
            }

            if ($first->{$name} && $name !~ /^(?:changing|other|grows)$/) {
                my $pid = $f->{pid} || 0;

                $wrong->("$name has the owner $pid")
                    if $pid != $first->{$name}{pid};
                $wrong->("$name was started again")
                    if ($f->{started_at} || '') ne $first->{$name}{started_at};

                # its owner had been leaving before we asked

                $wrong->("$name does not say that its owner leaves")
                    if !$f->{exiting} && $leaving{$pid};
                $wrong->("$name says no more that its owner leaves")
                    if !$f->{exiting} && $said{$name};
                $wrong->("$name says that its owner leaves")
                    if $f->{exiting} && $g == 1;
                $said{$name} = 1 if $f->{exiting};

                for ($f->{sources}[0], $f->{outputs}[0]) {
                    $wrong->("$name: $_->{name} is $_->{state}")
                        if $_->{state} ne 'connected';
                    $wrong->("$name: $_->{name}: $_->{connections} connections")
                        if $_->{connections} != 1;
                }
            }

            for my $e (@{ $f->{sources} }, @{ $f->{outputs} }) {
                next if $e->{name} !~ /^(?:source|o|o0)$/;

                my @now = ((map { $e->{$_} } qw/ packets bytes connections
                            disconnections rejected dropped_packets /),
                           $e->{srt} ? $e->{srt}{packets} : 0);

                for my $i (0 .. $#now) {
                    my $was = $count{$name}{$e->{name}};
                    $wrong->("$name: $e->{name}: counter $i goes back")
                        if $was && $now[$i] < $was->[$i];
                }

                $count{$name}{$e->{name}} = \@now;
            }
        }

        my @children = MC::_children($master);
        $r{processes} = @children if @children > $r{processes};

        for (@children) {
            $leaving{$_} = 1
                if MC::_slurp("/proc/$_/cmdline") =~ /shutting down/;
        }

        my $left = 0.05 - (time() - $at);
        sleep $left if $left > 0;
    }

    $r{wrong} = [sort values %wrong];
    return \%r;
});


# the reloads

my $http = HTTP::Tiny->new(timeout => 10, proxy => undef, http_proxy => undef);
my (@written, @taken, @forked);
my $start = time();
my $failed = '';

for my $n (1 .. $reloads) {
    my $at = time();
    my $conf = flows($n);
    my %before = map { $_ => 1 } MC::_children($master);

    $t->write_conf(flows => $conf);
    push @written, 1000 * (time() - $at);

    $at = time();
    kill 'HUP', $master;

    my $ok = $t->poll(sub {
        $http->get("$url/flows/other")->{content} =~ /"title":"title $n"/
            && ($http->get($url)->{content} || '') =~ /"generation":(\d+)/
            && $1 == $n + 1
    }, 10, 0.005);

    push @taken, 1000 * (time() - $at);

    if (!$ok) {
        $failed = "reload $n";
        last;
    }

    # by when the new workers are there tells what forking them takes

    if ($n % 10 == 0) {
        $at = time();
        $t->poll(sub {
            (grep { !$before{$_} } MC::_children($master)) >= $workers
        }, 10, 0.003);
        push @forked, 1000 * (time() - $at);
    }
}

my $took = time() - $start;

is($failed, '', "$reloads reloads are taken");
diag(sprintf "%.1f s, in ms:\n%s", $took, MC::Load::table(
    'configuration written' => \@written,
    'HUP to generation' => \@taken,
    'then until all workers run' => \@forked));

$t->wait_for(sub { $t->worker_pids(1) <= 2 * $workers }, 10,
             'of the workers between only the first and the last remain');

my $saw = $witness->json;

is(join("\n", @{ $saw->{wrong} || ['?'] }), '',
   'nobody saw anything of it at the live flows');

# an answer that is being made when a reload comes begins with the flows of one
# generation and ends with those of the next

my @torn;

for my $g (sort { $a <=> $b } keys %{ $saw->{sets} || {} }) {
    my %now = map { $_ => 1 } split / /, $set{$g};
    my %next = map { $_ => 1 } split / /, $set{$g + 1} || $set{$g};

    for my $set (keys %{ $saw->{sets}{$g} }) {
        my %seen;
        $seen{$_}++ for split / /, $set;

        push @torn, map({ "generation $g: $_ twice" }
                        grep { $seen{$_} > 1 } keys %seen),
                    map({ "generation $g: $_ not" }
                        grep { $next{$_} && !$seen{$_} } keys %now),
                    map({ "generation $g: $_" }
                        grep { !$now{$_} && !$next{$_} } keys %seen);
    }
}

is(join("\n", sort @torn), '',
   'each generation has its flows, each of them once');
cmp_ok(scalar keys %{ $saw->{sets} || {} }, '>=', $reloads / 4,
       'most generations were looked at');
is($saw->{failures}, 0, 'the status was always answered')
    or diag($saw->{failure});
cmp_ok($saw->{processes} || 99, '<=', 6 * $workers,
       'there were never many processes');
diag(sprintf '%d looks at the status, %.0f ms between two at most,'
     . ' %d workers at most', $saw->{samples} || 0,
     1000 * ($saw->{longest} || 0), $saw->{processes} || 0);

my $s = $t->status;

is($s->{generation}, $reloads + 1, 'the last is in force');
is($s->{last_reload}{result}, 'ok', 'as is told');
is(scalar(grep { $s->{flows}{$_}{exiting} } @names), scalar @names,
   'the live flows are in old workers');


# a live flow that was changed each time: its source and its first output not

my $f = $s->{flows}{changing};

is($f->{title}, $reloads % 2 ? "live $reloads" : undef,
   'changed while live: has the last title');
is(scalar @{ $f->{outputs} }, $reloads % 3 ? 2 : 1, 'and the last outputs');
is($f->{pid}, $first->{changing}{pid}, 'in the same process');
is($f->{sources}[0]{connections}, 1, 'its source was not opened again');

kill 'TERM', $c_send->program || ();

my $c_sent = $c_send->json;

$t->poll(sub { $t->source('changing')->{state} ne 'connected' }, 5);
$c_recv->stop;

my $c_got = $c_recv->json;

is(join(' ', map { $c_got->{$_} } qw/ lost duplicate reordered cc_errors /),
   '0 0 0 0', 'and no packet was lost');
is($c_got->{ts_packets}, $c_sent->{ts_packets}, 'all that was sent arrives');


# A machine that is busy: a new worker has not yet come to begin when the next
# reload tells it to leave.  It is not to be taken for the end of nginx.

sub children {
    my $list = MC::_slurp("/proc/$master/task/$master/children");

    # only where the kernel has that is a look quick enough

    return $list ? split(' ', $list) : MC::_children($master);
}

my $caught = 0;

for my $n (1, 3, 5) {
    my %before = map { $_ => 1 } children();
    my %stopped;

    $t->hup(flows => flows($reloads + $n));

    my $end = time() + 3;

    while (time() < $end && keys %stopped < $workers) {
        for (children()) {
            kill 'STOP', $_ unless $before{$_} || $stopped{$_}++;
        }
    }

    $caught += grep { MC::_slurp("/proc/$_/cmdline") !~ /worker process/ }
               keys %stopped;

    $t->hup(flows => flows($reloads + $n + 1));
    $t->poll(sub { $t->worker_pids(1) >= 3 * $workers - $caught
                   && $t->status->{generation} == $reloads + $n + 2 }, 2);
    kill 'CONT', keys %stopped;

    # each begins and ends

    $t->poll(sub { !grep { MC::alive($_) } keys %stopped }, 5);
}

$s = $t->status;

ok($caught, 'workers that were slow to begin');
is($s->{flows}{other}{title}, 'title ' . ($reloads + 6), 'while others came');
is(join(' ', grep { ($s->{flows}{$_}{pid} || 0) != $first->{$_}{pid} } @names),
   '', 'no live flow is moved by them');


# the end of the streams is the end of the old workers

$load->end;
$load->check_untouched;

my %old = map { $first->{$_}{pid} => 1 } @names;

$t->wait_for(sub { !grep { MC::alive($_) } keys %old }, 10,
             'the old workers leave');
$t->wait_for(sub { $t->worker_pids(1) == $workers }, 5, 'as do all others');
$t->wait_for(sub {
    $s = $t->status;
    !grep { !$_->{pid} || $_->{exiting} } values %{ $s->{flows} };
}, 5, 'all flows are in current workers');

is(join(' ', grep { $s->{flows}{$_}{sources}[0]{packets}
                    != $load->{sent}{$_}{packets} } @names), '',
   'and have their counters');

$t->finish;
done_testing();
