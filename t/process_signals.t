#!/usr/bin/perl

# Stopping, reloading, reopening logs; one process instead of many.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use Test::More;
use Time::HiRes qw/ time /;
use MC;

my $t = MC->new(workers => 2, log => 'notice', main => <<'END',
mc_event_log %%DIR%%/events.log;
END
                flows => <<'END');
mc_flow a {
    mc_title   one;
    mc_source  srt://:%%in%%;
    mc_output  l  srt://:%%l%%;
    mc_output  c  srt://127.0.0.1:%%c%%;
}
mc_flow b {
    mc_source  srt://127.0.0.1:%%pull%%;
    mc_output  o  udp://127.0.0.1:%%o%%;
}
END

my @peers;

sub peers {
    @peers = (
        [listener => $t->mcpkt('recv', 'srt://127.0.0.1:%%l%%',
                               '--seconds', 60)],
        [caller => $t->mcpkt('recv', 'srt://127.0.0.1:%%c%%?mode=listener',
                             '--seconds', 60)],
        [puller => $t->mcpkt('send', 'srt://127.0.0.1:%%pull%%?mode=listener',
                             '--seconds', 60, '--wait', 20)],
        [sender => $t->mcpkt('send', 'srt://127.0.0.1:%%in%%',
                             '--seconds', 60)],
    );

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $t->wait_for(sub {
        my $s = $t->status or return 0;
        my $a = $s->{flows}{a};

        $a->{sources}[0]{packets} > 100
        && $a->{outputs}[0]{packets} && $a->{outputs}[1]{packets}
        && $s->{flows}{b}{sources}[0]{packets} > 100
    }, 20, 'peers of all kinds are connected');
}

# peers wait for 5 s if nobody tells them

sub orderly {
    my ($how) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $end = time() + 1.5;

    for (@peers) {
        my ($name, $p) = @$_;

        $t->poll(sub { $p->err =~ /lost|gone|closed/ || !$p->running },
                 $end - time(), 0.02);
        ok($p->err =~ /lost|gone|closed/ || !$p->running,
           "$how: the $name sees it");
    }

    $_->[1]->stop for @peers;
}


# stop

peers();

my $took = $t->stop('stop');
cmp_ok($took, '<', 1, 'stop with live peers takes less than a second');
orderly('stop');

$t->start;
peers();

$took = $t->stop('quit');
cmp_ok($took, '<', 3, 'quit with live peers is not held up by them');
orderly('quit');


# reload: what is new is applied, what is unchanged goes on

$t->start;
peers();

my $before = $t->status;
my %packets = map { $_ => $before->{flows}{$_}{sources}[0]{packets} } 'a', 'b';

my @old = $t->worker_pids;

my ($exit, $out) = $t->reload(flows => <<'END');
mc_flow a {
    mc_title   two;
    mc_source  srt://:%%in%%;
    mc_output  l  srt://:%%l%%;
    mc_output  u  udp://127.0.0.1:%%u%%;
}
mc_flow c {
    mc_source  srt://:%%c_in%%  passphrase=0123456789;
    mc_output  o  udp://127.0.0.1:%%c_o%%;
}
END

is($exit, 0, 'reload') or diag($out);

$t->wait_for(sub { !grep { kill(0, $_) && $_ != $before->{flows}{a}{pid} }
                          @old }, 15,
             'old workers without a live flow leave');

my $after = $t->status;
is($after->{generation}, $before->{generation} + 1, 'a new generation');
is($after->{last_reload}{result}, 'ok', 'which is in force');
is_deeply([sort keys %{ $after->{flows} }], ['a', 'c'], 'flows come and go');

my $a = $after->{flows}{a};
is($a->{title}, 'two', 'a title is changed');
is_deeply([map { $_->{name} } @{ $a->{outputs} }], ['l', 'u'],
          'outputs come and go');
cmp_ok($a->{sources}[0]{packets}, '>=', $packets{a}, 'counters stay');

is($t->get('/flows/b')->{status}, 404, 'a flow that is gone is not found');
is($t->mcpkt_run('connect', 'srt://127.0.0.1:%%c_in%%?passphrase=0123456789',
                 '--wait', 3)->{connected}, JSON::PP::true,
   'a new flow listens');

$_->[1]->stop for @peers;
$t->wait_for(sub { $t->source('a')->{state} eq 'waiting' }, 5);
$t->wait_for(sub { !grep { kill 0, $_ } @old }, 15,
             'the last one leaves with its peers');

my $udp = $t->mcpkt('recv', 'udp://127.0.0.1:%%u%%', '--packets', 100);
my $send = $t->mcpkt('send', 'srt://127.0.0.1:%%in%%', '--seconds', 20);
is($udp->json->{datagrams}, 100, 'a new output is fed');
$send->stop;


# a configuration that is wrong changes nothing

($exit, $out) = $t->reload(wait => 0, flows => <<'END');
mc_flow a {
    mc_output  l  srt://:%%l%%;
}
END

isnt($exit, 0, 'a wrong configuration is refused');
is($t->status->{generation}, $after->{generation}, 'and the old one stays');
is($t->flow('a')->{title}, 'two', 'with its flows');
$t->allow(qr/\[emerg\].*mc_source/);


# many reloads at once leave nothing behind

@old = ();

for (1 .. 4) {
    push @old, $t->worker_pids;
    $t->reload(flows => <<'END');
mc_flow a {
    mc_source  srt://:%%in%%;
    mc_output  l  srt://:%%l%%;
}
END
}

$t->wait_for(sub { !grep { kill 0, $_ } @old }, 15, 'all old workers leave');
is($t->status->{generation}, $after->{generation} + 4, 'each counts');
ok($t->wait_for(sub { $t->source('a')->{state} eq 'waiting' }, 5),
   'the flow has its port');
ok(!(grep { $_->{code} eq 'address_in_use' } $t->events('a')),
   'and a port that is handed over is no event')
    or diag(explain([$t->events('a')]));


# USR1

rename $t->dir . '/events.log', $t->dir . '/events.old';
my $old = $t->read_file('events.old');

kill 'USR1', $t->pid if $t->pid;
$t->wait_for(sub { -e $t->dir . '/events.log' }, 5, 'USR1 makes a new log');

$t->wait_for(sub {
    $t->mcpkt_run('connect', 'srt://127.0.0.1:%%in%%', '--wait', 1);
    $t->read_file('events.log') =~ /"connected"/;
}, 8, 'which is written');

my @lines = map { eval { decode_json($_) } } split /\n/,
            $t->read_file('events.old') . $t->read_file('events.log');
is(scalar(grep { !defined } @lines), 0, 'all lines are JSON');

$t->stop('quit');

is(length($t->read_file('events.old')) - length($old) < 1000, 1,
   'the old one is left alone');


# without a master, and as a daemon

my $conf = sub {
    my ($globals) = @_;

    return <<"END";
load_module $t->{so};
$globals
pid %%DIR%%/nginx.pid;
error_log %%DIR%%/error.log notice;
events { }
mc_flow a {
    mc_source  srt://:%%in%%;
    mc_output  l  udp://127.0.0.1:%%u%%;
}
http {
    access_log off;
    client_body_temp_path %%DIR%%/t1;
    proxy_temp_path %%DIR%%/t2;
    fastcgi_temp_path %%DIR%%/t3;
    uwsgi_temp_path %%DIR%%/t4;
    scgi_temp_path %%DIR%%/t5;
    server { listen 127.0.0.1:%%http%%; location /mc { mc_status; } }
}
END
};

sub serves {
    my ($name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $t->wait_for(sub { (($t->source('a') || {})->{state} || '') eq 'waiting' },
                 10, "$name: answers");

    my $recv = $t->mcpkt('recv', 'udp://127.0.0.1:%%u%%', '--packets', 300,
                         '--md5');
    my $sent = $t->mcpkt_run('send', 'srt://127.0.0.1:%%in%%',
                             '--packets', 300, '--md5');
    is($recv->json->{md5}, $sent->{md5}, "$name: a stream goes through");
}

sub pid_of { return $t->read_file('nginx.pid') =~ /(\d+)/ ? $1 : undef }

sub nginx {
    my ($name, $globals) = @_;

    local %ENV = %ENV;
    $t->_sanitizer_env;

    $t->write_file("$name.conf", $conf->($globals));

    return $t->spawn($name, $t->{nginx}, '-p', $t->dir, '-c',
                     $t->dir . "/$name.conf");
}

my $single = nginx('single', "daemon off;\nmaster_process off;");
serves('one process');

my $start = time();
my $pid = pid_of();
kill 'TERM', $pid if $pid;
$t->wait_for(sub { !$single->running }, 5, 'one process: stops');
cmp_ok(time() - $start, '<', 1, 'one process: in less than a second');

my $daemon = nginx('daemon', "daemon on;\nworker_processes 2;");
is($daemon->wait(5), 0, 'daemon: starts');
serves('daemon');

$pid = pid_of();
ok($pid, 'daemon: has a pid file');
kill 'TERM', $pid if $pid;
$t->wait_for(sub { $pid && !kill 0, $pid }, 5, 'daemon: stops');

$t->finish;
done_testing();
