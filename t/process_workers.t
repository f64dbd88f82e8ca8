#!/usr/bin/perl

# Twenty flows in four workers: dealt evenly, seen from each of them, and
# back at once when a worker is killed.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use HTTP::Tiny;
use JSON::PP;
use Test::More;
use Time::HiRes qw/ time /;
use MC;

my $n = 16;

my $t = MC->new(start => 0, workers => 4, log => 'notice', http_conf => <<'END',
        listen 127.0.0.1:%%each%% reuseport;
        location /pid { return 200 $pid; }
END
                files => { 'keys/a' => "only for root\n" });

chmod 0600, $t->dir . '/keys/a';

my $in = $t->port('in', $n);
my $out = $t->port('out', $n);
my $flows = '';

for (0 .. $n - 1) {
    $flows .= sprintf "mc_flow u%02d { mc_source udp://127.0.0.1:%d;"
              . " mc_output o udp://127.0.0.1:%d; }\n",
              $_, $in + $_, $out + $_;
}

for (0 .. 3) {
    $flows .= "mc_flow s$_ {\n"
              . "mc_source srt://:%%s$_%% passphrase_file=keys/a;\n"
              . "mc_output o udp://127.0.0.1:%%so$_%%;\n}\n";
}

$t->{flows} = $flows;
$t->start;


# who runs what

my $status = $t->status;
my %flows = %{ $status->{flows} };
my %by_pid;

push @{ $by_pid{ $flows{$_}{pid} } }, $_ for sort keys %flows;

is(scalar keys %flows, $n + 4, 'all flows');
is_deeply([sort { $a <=> $b } keys %by_pid],
          [sort { $a <=> $b } $t->worker_pids], 'in all workers');
is_deeply([map { scalar @$_ } values %by_pid], [5, 5, 5, 5], 'evenly');
is(scalar(grep { $_->{status} eq 'running' && !$_->{exiting} } values %flows),
   $n + 4, 'all of them run');

SKIP: {
    skip 'not root', 1 if $>;

    my $www = getpwnam 'www-data';
    my @uids = map { $t->read_file("/proc/$_/status") =~ /^Uid:\s+(\d+)/m }
               $t->worker_pids;
    is_deeply(\@uids, [($www) x 4], 'as www-data');
}


# streams

my $recv = $t->mcpkt('recv', "udp://127.0.0.1:$out", '--count', $n, '--each',
                     '--seconds', 60);
my @recv = map { $t->mcpkt('recv', "udp://127.0.0.1:%%so$_%%",
                           '--seconds', 60) } 0 .. 3;

my $send = $t->mcpkt('send', "udp://127.0.0.1:$in", '--count', $n,
                     '--rate', '1m', '--seconds', 60);
my @send = map {
    $t->mcpkt('send', "srt://127.0.0.1:%%s$_%%?passphrase=only for root",
              '--rate', '1m', '--seconds', 60, '--reconnect')
} 0 .. 3;

sub connected {
    my ($status) = @_;

    return scalar grep { $_->{sources}[0]{state} eq 'connected' }
                       values %{ $status->{flows} };
}

$t->wait_for(sub { connected($t->status) == $n + 4 }, 10,
             'all sources are connected');


# each worker knows about all

my %asked;
my $end = time() + 15;
my $complete = 0;

while (keys %asked < 4 && time() < $end) {
    my $http = HTTP::Tiny->new(timeout => 5, keep_alive => 1,
                               proxy => undef, http_proxy => undef);
    my $url = 'http://127.0.0.1:' . $t->port('each');

    my $pid = $http->get("$url/pid")->{content};
    next if $asked{$pid}++;

    my $status = eval { decode_json($http->get("$url/mc")->{content}) } || {};
    my $flow = eval { decode_json($http->get("$url/mc/flows/s0")->{content}) };

    $complete++ if connected($status) == $n + 4
                   && $flow->{sources}[0]{srt}{encrypted};
}

is(scalar keys %asked, 4, 'all workers were asked');
is($complete, 4, 'each tells about all flows');


# one is killed

my $victim = $flows{s0}{pid};
my %lost = map { $_ => 1 } @{ $by_pid{$victim} };

$status = $t->status;

my %count = map {
    my $f = $status->{flows}{$_};
    $_ => [$f->{sources}[0]{packets}, $f->{outputs}[0]{packets},
           $f->{sources}[0]{connections}];
} keys %flows;

kill 'KILL', $victim if $victim;
my $killed = time();

$t->allow(qr/worker process $victim exited on signal 9/);

my $backwards = 0;
my $udp_back;

my $back = $t->poll(sub {
    my $s = $t->status or return 0;

    for (keys %flows) {
        my $f = $s->{flows}{$_};
        my @now = ($f->{sources}[0]{packets}, $f->{outputs}[0]{packets},
                   $f->{sources}[0]{connections});

        for my $i (0 .. 2) {
            $backwards++ if $now[$i] < $count{$_}[$i];
        }

        $count{$_} = \@now;
    }

    my @gone = grep { $_->{pid} && $_->{pid} == $victim
                      || !$_->{pid} } values %{ $s->{flows} };
    my @udp = grep { /^u/ && $s->{flows}{$_}{sources}[0]{state} ne 'connected' }
              keys %flows;

    $udp_back ||= time() if !@gone && !@udp;

    return $udp_back && connected($s) == $n + 4;
}, 20);

ok($back, 'the flows of a killed worker come back');
cmp_ok(($udp_back || time()) - $killed, '<', 2,
       'those without connections at once');
is($backwards, 0, 'no counter goes backwards');

my $s0 = $t->flow('s0');
cmp_ok($s0->{sources}[0]{connections}, '>=', 2, 'SRT callers call again');
isnt($s0->{pid}, $victim, 'in another process');

is(scalar $t->worker_pids, 4, 'there are four workers again');

my $packets = $t->source('s0')->{packets};
$t->wait_for(sub { $t->source('s0')->{packets} > $packets + 50 }, 5,
             'and its stream flows on');

$_->stop for $send, @send;
$t->poll(sub { !connected($t->status) }, 5);
$_->stop for $recv, @recv;

my @each = @{ $recv->json->{each} || [] };
my @mine = grep { $lost{ sprintf 'u%02d', $_ } } 0 .. $n - 1;
my @others = grep { !$lost{ sprintf 'u%02d', $_ } } 0 .. $n - 1;

is(scalar(grep { $_->{lost} || $_->{corrupted} || $_->{duplicate} }
          @each[@others]), 0, 'flows of other workers lose nothing')
    or diag(explain([map { $_->{lost} } @each]));

my ($worst) = sort { $b <=> $a } map { $_->{silence_ms} } @each[@mine];
cmp_ok($worst, '<', 2000, 'flows of the killed one are silent shortly')
    or diag("$worst ms");
is(scalar(grep { $_->{corrupted} || $_->{duplicate} } @each[@mine]), 0,
   'and unharmed');

$t->finish;
done_testing();
