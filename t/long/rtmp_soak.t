#!/usr/bin/perl

# Five hundred reloads with live RTMP: publishers and players in any worker, a
# push to a server, one flow whose outputs change; players come and go.  Memory,
# descriptors and processes stay what they were, and nobody who stays is
# disconnected.  MC_RELOADS makes it shorter.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";

use HTTP::Tiny;
use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;
use MC::Media qw/ sample record same_media /;
use MC::Rtmp qw/ publish play rtmp_server connected live /;

my $workers = 4;
my $reloads = $ENV{MC_RELOADS} || 500;
my $every = int($reloads / 10) || 1;
my $warm = $reloads * 2 / 5;
my $seconds = $ENV{MC_SECONDS} || 60 + $reloads * ($ENV{MC_ASAN} ? 0.8 : 0.4);

my $server = rtmp_server();
my @names = map { "f$_" } 0 .. 3;

sub flows {
    my ($n) = @_;

    my $text = "mc_zone_size 4m;\n";

    for my $i (0 .. 3) {
        $text .= "mc_flow f$i { mc_source rtmp:///live/f$i;"
            . " mc_output play rtmp:///live/out$i;"
            . " mc_output udp udp://127.0.0.1:%%udp$i%%;"
            . ($i % 2 ? ' mc_output push ' . $server->rtmp_url("p$i") . ';'
                      : '')
            . ($i > 1 && $n % 2 ? " mc_output more rtmp:///live/more$i;" : '')
            . ($i == 3 ? " mc_title \"live $n\";" : '')
            . " }\n";
    }

    return $text . "mc_flow other { mc_title \"title $n\";"
        . " mc_source rtmp:///live/o; mc_output o rtmp:///live/oo; }\n"
        . "mc_flow new$n { mc_source rtmp:///live/new$n;"
        . " mc_output o rtmp:///live/out-new$n; }\n";
}

my $t = MC->new(workers => $workers, log => 'notice', limit => $seconds + 200,
    flows => flows(0),
    rtmp => 'server { listen 127.0.0.1:%%rtmp%%; chunk_size 4096;'
            . ' application live { live on; } }');

my $url = 'rtmp://127.0.0.1:%%rtmp%%/live';
my $in = sample($t, 'in.flv', seconds => $seconds, size => '160x90',
                rate => '80k', args => [qw/ -b:a 32k /]);

my @pub = map { publish($t, "$url/$_", $in) } @names;
ok(live($t, $_), "$_: live") for @names;
connected($t, $_, 'push') for qw/ f1 f3 /;

my @play = map { play($t, "$url/out$_", "play$_.flv", tool => 'gst') } 0 .. 3;

for my $i (0 .. 3) {
    $t->wait_for(sub { @{ $t->output("f$i", 'play')->{peers} } }, 10,
                 "f$i: a player");
}

my $first = $t->status->{flows};
my $master = $t->pid;
my @old = $t->worker_pids;

sub fds {
    my ($pid) = @_;

    opendir my $dir, "/proc/$pid/fd" or return 0;
    return scalar grep { /\d/ } readdir $dir;
}

# without shared memory

sub kib {
    my ($pid) = @_;

    my $text = MC::_slurp("/proc/$pid/status");
    my %kib = $text =~ /^(VmRSS|RssShmem):\s+(\d+)/mg;

    return ($kib{VmRSS} || 0) - ($kib{RssShmem} || 0);
}

my (@table, @samples, @many, @wrong);

sub look {
    my ($n) = @_;

    my @pids;

    $t->poll(sub {
        @pids = MC::_children($master);
        @pids <= 2 * $workers + 1 && $t->worker_pids >= $workers
    }, 5, 0.02);

    my @alive = grep { MC::alive($_) } @old;
    my ($current) = sort { $b <=> $a } $t->worker_pids;

    push @many, "reload $n: " . (@pids + 1) if @pids > 3 * $workers + 1;
    push @samples, { n => $n, map { $_ => [kib($_), fds($_)] } $master, @alive };
    push @table, sprintf '%5d %4d  %7d %3d ' . ' %7d %3d' x @alive
                         . '  %7d %3d', $n, @pids + 1,
                         map({ @{ $samples[-1]{$_} } } $master, @alive),
                         kib($current || 0), fds($current || 0);
    note($table[-1]);

    my $s = $t->status;

    push @wrong, map { "reload $n: $_" } grep {
        my $f = $s->{flows}{$_};

        !$f || ($f->{pid} || 0) != $first->{$_}{pid}
        || $f->{sources}[0]{state} ne 'connected'
        || $f->{sources}[0]{connections} != 1
        || grep { $_->{name} eq 'push' && $_->{connections} != 1
                  || $_->{dropped_packets} } @{ $f->{outputs} }
    } @names;
}

look(0);

my $http = HTTP::Tiny->new(timeout => 10, proxy => undef, http_proxy => undef);
my $start = time();
my $failed = '';
my ($worst, $visitor, $visits) = (0, undef, 0);

for my $n (1 .. $reloads) {
    my $at = time();

    $t->hup(flows => flows($n));

    my $ok = $t->poll(sub {
        ($http->get($t->url('/flows/other'))->{content} || '')
            =~ /"title":"title $n"/
    }, 15, 0.01);

    $worst = time() - $at if time() - $at > $worst;

    if (!$ok) {
        $failed = "reload $n";
        last;
    }

    # who comes lands in the newest workers, for flows in the oldest

    if ($n % 10 == 0) {
        $visitor->stop if $visitor;
        $visitor = play($t, "$url/out" . $n / 10 % 4, 'visitor.flv',
                        tool => 'gst');
    }

    if ($n % 10 == 9 && $visitor) {
        $visits++ if -s $t->dir . '/visitor.flv';
        $visitor->stop;
    }

    look($n) if $n % $every == 0;
    last if time() - $start > $seconds - 30;
}

$visitor->stop if $visitor;

is($failed, '', 'the reloads are taken');
is($samples[-1]{n}, $reloads, "all $reloads of them");
diag(sprintf '%.0f s, the slowest %.0f ms; %d visitors had something to see',
     time() - $start, 1000 * $worst, $visits);
diag(join "\n", 'reloads, processes; KiB and descriptors of the master, of each'
                . ' old worker and of a new one', @table);

is(join("\n", @wrong), '', 'live flows stay as they are');
is(join("\n", @many), '', 'there are never many processes');

my ($from) = grep { $_->{n} >= $warm } @samples;
my $to = $samples[-1];

for my $pid ($master, grep { $to->{$_} } @old) {
    my $name = $pid == $master ? 'the master' : "old worker $pid";
    my ($was, $is) = ($from->{$pid}[0], $to->{$pid}[0]);
    my $limit = $was * 0.05 > 1024 ? $was * 0.05 : 1024;

    # nginx-rtmp alone, with rtmp{} and none of our modules, keeps 16 KiB in the
    # master with each reload

    $limit += 18 * ($to->{n} - $from->{n}) if $pid == $master;

    cmp_ok($is - $was, '<', $limit, "$name: memory")
        or diag("$was KiB after $from->{n} reloads, $is KiB after $to->{n}");
    cmp_ok($to->{$pid}[1] - $from->{$pid}[1], '<=', 10, "$name: descriptors")
        or diag("$from->{$pid}[1], $to->{$pid}[1]");
}

is(scalar(grep { !$_->running } @pub), 0, 'publishers are still there');
is(scalar(grep { !$_->running } @play), 0, 'and players');
is($t->status->{flows}{f3}{title}, 'live ' . $to->{n},
   'a live flow has what was changed');
is($t->status->{last_reload}{result}, 'ok', 'shared memory has room');

# the end

$_->stop for @pub;
$t->poll(sub { !grep { $t->source($_)->{state} eq 'connected' } @names }, 10);
sleep 1;
$_->stop for @play;

for my $i (0 .. 3) {
    same_media($t, $in, "play$i.flv", min => 100, name => "f$i: a player's");
}

same_media($t, $in, $server->recorded($t, $_), min => 100,
           name => "$_: the server's") for qw/ p1 p3 /;

$server->stop;
$t->wait_for(sub { !grep { MC::alive($_) } @old }, 15, 'the old workers leave');
$t->wait_for(sub { $t->worker_pids(1) == $workers }, 10, 'as do all others');

$server->finish;
$t->finish;
done_testing();
