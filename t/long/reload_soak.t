#!/usr/bin/perl

# A thousand reloads beside ten live flows, of which three get and lose outputs
# and titles, with others that come and go: memory, descriptors and processes
# stay what they were, and no packet is lost.  MC_RELOADS makes it shorter.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/../lib";
use HTTP::Tiny;
use Test::More;
use Time::HiRes qw/ sleep time /;
use MC;
use MC::Load;

my $workers = 4;
my $reloads = $ENV{MC_RELOADS} || 1000;
my $every = $reloads >= 500 ? 50 : int($reloads / 10) || 1;
my $warm = $reloads * 2 / 5;

my $t = MC->new(start => 0, workers => $workers, log => 'notice', limit => 900,
                main => "mc_zone_size 4m;\n");
my $load = MC::Load->new($t, n => 10, rate => '400k', seconds => 890,
                         patient => 1);
my @names = $load->names;


# what changes: titles, flows that come and go, outputs, also of live flows,
# names that were never there before

sub flows {
    my ($n) = @_;

    my $text = $load->text({
        udp0 => $n % 2 ? "mc_output more udp://127.0.0.1:%%u_more%%;\n" : '',
        listener0 => $n % 3 ? "mc_output more srt://:%%l_more%%;\n" : '',
        encrypted0 => "mc_title \"live $n\";\n",
    });

    $text .= "mc_flow other { mc_title \"title $n\"; mc_source srt://:%%o_in%%;"
             . " mc_output o srt://:%%o_out%%; }\n";

    $text .= 'mc_flow grows { mc_source udp://127.0.0.1:%%g_in%%;'
             . join('', map { " mc_output o$_ udp://127.0.0.1:%%g_o$_%%;" }
                        0 .. $n % 7) . " }\n";

    $text .= "mc_flow new$n { mc_source srt://:%%new" . $n % 3 . "%%;"
             . " mc_output o$n udp://127.0.0.1:%%n_out%%; }\n";

    $text .= "mc_flow recurs { mc_source srt://:%%shared0%%  streamid=three;"
             . " mc_output o udp://127.0.0.1:%%r_out%%; }\n" if $n % 2;

    return $text;
}

$t->{flows} = flows(0);
$t->start;
$load->begin;

my $first = $t->status->{flows};
my $master = $t->pid;
my %old = map { $first->{$_}{pid} => 1 } @names;
my @old = sort { $a <=> $b } keys %old;


# descriptors of a process

sub fds {
    my ($pid) = @_;

    opendir my $dir, "/proc/$pid/fd" or return 0;
    return scalar grep { /\d/ } readdir $dir;
}

# Without shared memory: each event may be in a page where the process that
# writes it has not been before, until the ring of them is full.  What reloads
# leave there has to fit into a small zone, or one of them is refused.

sub kib {
    my ($pid) = @_;

    my $text = MC::_slurp("/proc/$pid/status");
    my %kib = $text =~ /^(VmRSS|RssShmem):\s+(\d+)/mg;

    return ($kib{VmRSS} || 0) - ($kib{RssShmem} || 0);
}

my (@table, @samples, @many);

sub sample {
    my ($n) = @_;

    # at rest there are the master, the first workers and the last; those
    # between were told 100 ms after the last reload to leave

    my $at = time();
    my @pids;

    $t->poll(sub {
        @pids = MC::_children($master);
        @pids <= 2 * $workers && $t->worker_pids >= $workers
    }, 3, 0.02);

    my ($current) = sort { $b <=> $a } grep { !$old{$_} } $t->worker_pids;

    push @many, "reload $n: " . (@pids + 1) if @pids > 3 * $workers + 1;

    my %s = (n => $n, processes => @pids + 1,
             map { $_ => [kib($_), fds($_)] } $master, @old);

    push @samples, \%s;
    push @table, sprintf '%5d %4d  %7d %3d ' . ' %7d %3d' x @old . '  %7d %3d'
                         . '  %4d ms',
                         $n, $s{processes}, map({ @{ $s{$_} } } $master, @old),
                         kib($current || 0), fds($current || 0),
                         1000 * (time() - $at);
    note($table[-1]);
}

sample(0);

my $http = HTTP::Tiny->new(timeout => 10, proxy => undef, http_proxy => undef);
my $start = time();
my $failed = '';
my (@wrong, $worst);

$worst = 0;

for my $n (1 .. $reloads) {
    my $at = time();

    $t->hup(flows => flows($n));

    my $ok = $t->poll(sub {
        ($http->get($t->url('/flows/other'))->{content} || '')
            =~ /"title":"title $n"/
    }, 15, 0.01);

    my $took = time() - $at;
    $worst = $took if $took > $worst;

    if (!$ok) {
        $failed = "reload $n";
        last;
    }

    if ($n % $every == 0) {
        sample($n);

        my $s = $t->status;

        push @wrong, map { "reload $n: $_" } grep {
            my $f = $s->{flows}{$_};
            !$f || !$f->{pid} || $f->{pid} != $first->{$_}{pid}
            || $f->{sources}[0]{state} ne 'connected'
            || $f->{sources}[0]{connections} != 1
            || $f->{outputs}[0]{connections} != 1
        } @names;

        last if $t->{limit} && time() - $start > 800;
    }
}

is($failed, '', "$reloads reloads are taken");
diag(sprintf '%.0f s, the slowest %.0f ms', time() - $start, 1000 * $worst);
diag(join "\n", 'reloads, processes; KiB and descriptors of the master, of each'
                . ' old worker and of a new one', @table);

is(join("\n", @wrong), '', 'live flows stay as they are');
is(join("\n", @many), '', 'there are never many processes');


# after the warm-up: what libsrt allocates is spread over the arenas of its
# threads, and levels off late; it keeps what it closes for some seconds, so
# that descriptors go up and down

my ($from) = grep { $_->{n} >= $warm } @samples;
my $to = $samples[-1];

for ($master, @old) {
    my $name = $_ == $master ? 'the master' : "old worker $_";
    my ($was, $is) = ($from->{$_}[0], $to->{$_}[0]);
    my $limit = $was * 0.05 > 2048 ? $was * 0.05 : 2048;

    cmp_ok($is - $was, '<', $limit, "$name: memory")
        or diag("$was KiB after $from->{n} reloads, $is KiB after $to->{n}");
    cmp_ok($to->{$_}[1] - $from->{$_}[1], '<=', 10, "$name: descriptors")
        or diag("$from->{$_}[1], $to->{$_}[1]");
}

my $s = $t->status;

is($s->{last_reload}{result}, 'ok', 'shared memory has room');
is($s->{flows}{encrypted0}{title}, 'live ' . $to->{n},
   'a live flow has what was changed');

$load->end;
$load->check_untouched;

$t->wait_for(sub { !grep { MC::alive($_) } @old }, 10, 'the old workers leave');
$t->wait_for(sub { $t->worker_pids(1) == $workers }, 10, 'as do all others');

$t->finish;
done_testing();
