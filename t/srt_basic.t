#!/usr/bin/perl

# SRT in and out: listeners, callers, rendezvous; whatever bytes come in go
# out, as they came to SRT and in whole TS packets to RTP and UDP.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;

my $t = MC->new(workers => 2, log => 'notice', flows => <<'END');
mc_latency 60ms;

mc_flow all {
    mc_source  srt://127.0.0.1:%%all%%?mode=listener;

    mc_output  many    srt://127.0.0.1:%%many%%?mode=listener;
    mc_output  caller  srt://127.0.0.1:%%caller%%;
    mc_output  meet    srt://127.0.0.1:%%meet_far%%
                       mode=rendezvous adapter=127.0.0.1 port=%%meet%%;
    mc_output  rtp     rtp://127.0.0.1:%%rtp%%;
    mc_output  udp     udp://127.0.0.1:%%udp%%;
}

mc_flow pull {
    mc_source  srt://127.0.0.1:%%pull%%;
    mc_output  o  srt://127.0.0.1:%%pull_out%%?mode=listener;
}

mc_flow meet {
    mc_source  "srt://127.0.0.1:%%m_far%%?mode=rendezvous&port=%%m%%";
    mc_output  o  srt://127.0.0.1:%%m_out%%?mode=listener;
}

mc_flow six {
    mc_source  srt://[::]:%%six%%;
    mc_output  listener  srt://[::1]:%%six_l%%?mode=listener;
    mc_output  caller    srt://[::1]:%%six_c%%;
}

mc_flow odd {
    mc_source  srt://:%%odd%%;
    mc_output  srt  srt://:%%odd_srt%%;
    mc_output  rtp  rtp://127.0.0.1:%%odd_rtp%%;
    mc_output  udp  udp://127.0.0.1:%%odd_udp%%;
}

mc_flow junk {
    mc_source  srt://:%%junk%%;
    mc_output  srt  srt://:%%junk_srt%%;
    mc_output  udp  udp://127.0.0.1:%%junk_udp%%;
}

mc_flow two {
    mc_source  srt://127.0.0.1:%%two_p%%?mode=listener;
    mc_source  srt://127.0.0.1:%%two_b%%?mode=listener  backup;
    mc_output  o  srt://127.0.0.1:%%two_op%%?mode=listener;
    mc_output  o  srt://127.0.0.1:%%two_ob%%?mode=listener  backup;
    mc_output  only  udp://127.0.0.1:%%two_only%%;
}
END

# what a receiver may be asked to have got: all, once, in order, unharmed

sub whole {
    my ($got, $datagrams, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_deeply(
        { map { $_ => $got->{$_} }
              qw/ datagrams lost ts_lost duplicate corrupted reordered / },
        { datagrams => $datagrams, lost => 0, ts_lost => 0, duplicate => 0,
          corrupted => 0, reordered => 0 },
        $name);
}

sub connected {
    my ($flow, $output, $n) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $t->wait_for(sub {
        my $o = $t->output($flow, $output) or return 0;
        return $n ? @{ $o->{peers} } == $n : $o->{state} eq 'connected';
    }, 10, "$flow: $output is connected");
}


# every kind of output at once, 20 receivers on the listening one

my $n = 1000;
my @args = ('--packets', $n, '--md5');

my $many = $t->mcpkt('recv', 'srt://127.0.0.1:%%many%%', '--count', 20,
                     '--each', @args);
my $caller = $t->mcpkt('recv', 'srt://127.0.0.1:%%caller%%?mode=listener',
                       @args);
my $meet = $t->mcpkt('recv', 'srt://127.0.0.1:%%meet%%?mode=rendezvous'
                             . '&adapter=127.0.0.1&port=%%meet_far%%', @args);
my $rtp = $t->mcpkt('recv', 'rtp://127.0.0.1:%%rtp%%', @args);
my $udp = $t->mcpkt('recv', 'udp://127.0.0.1:%%udp%%', @args);

connected('all', 'many', 20);
connected('all', 'caller');
connected('all', 'meet');

my $sent = $t->mcpkt_run('send', 'srt://127.0.0.1:%%all%%', '--mix', @args);
my $md5 = $sent->{md5};

is($sent->{packets}, $n, 'the sender sent all');

my $got = $many->json;
my @each = @{ $got->{each} || [] };

is(scalar(grep { $_->{md5} eq $md5 && $_->{datagrams} == $n } @each), 20,
   '20 receivers have the same bytes');
is($got->{worst}{lost}, 0, 'none of them lost a packet');
is($got->{duplicate}, 0, 'none saw a packet twice');
ok($each[0]{null_packets} > 0 && $each[0]{other_packets} > 0,
   'null packets and unknown PIDs went through');

for ([caller => $caller], [rendezvous => $meet], [rtp => $rtp], [udp => $udp])
{
    my ($name, $recv) = @$_;

    my $r = $recv->json;
    whole($r, $n, "$name: all, once, in order");
    is($r->{md5}, $md5, "$name: the same bytes");
}

$t->wait_for(sub {
    my $s = $t->source('all') or return 0;
    $s->{state} eq 'waiting' && $s->{disconnections} == 1
}, 5, 'the source waits for the next caller');

my $s = $t->source('all');

is($s->{packets}, $n, 'packets of the source');
is($s->{bytes}, $n * 1316, 'bytes of the source');
is($s->{connections}, 1, 'connections of the source');
is($t->output('all', 'many')->{packets}, 20 * $n, 'packets of the receivers');
is($t->output('all', 'many')->{connections}, 20, 'connections of receivers');
is($t->output('all', 'udp')->{bytes}, $n * 1316, 'bytes of the UDP output');


# a source that calls, and one that meets

$n = 500;
@args = ('--packets', $n, '--md5');

for (['pull', 'srt://127.0.0.1:%%pull%%?mode=listener', 'pull_out'],
     ['meet', 'srt://127.0.0.1:%%m%%?mode=rendezvous&adapter=127.0.0.1'
              . '&port=%%m_far%%', 'm_out'])
{
    my ($flow, $url, $out) = @$_;

    my $recv = $t->mcpkt('recv', "srt://127.0.0.1:%%$out%%", @args);
    connected($flow, 'o', 1);

    my $sent = $t->mcpkt_run('send', $url, @args, '--wait', 15);
    my $r = $recv->json;

    whole($r, $n, "source of flow $flow: all, once, in order");
    is($r->{md5}, $sent->{md5}, "source of flow $flow: the same bytes");
}


# IPv6

SKIP: {
    skip 'no IPv6 here', 5 unless -e '/proc/net/if_inet6'
        && $t->read_file('/proc/net/if_inet6') =~ /^0{31}1 /m;

    my $l = $t->mcpkt('recv', 'srt://[::1]:%%six_l%%', @args);
    my $c = $t->mcpkt('recv', 'srt://[::1]:%%six_c%%?mode=listener', @args);

    connected('six', 'listener', 1);
    connected('six', 'caller');

    my $sent = $t->mcpkt_run('send', 'srt://[::1]:%%six%%', @args);

    is($l->json->{md5}, $sent->{md5}, 'IPv6 listeners');
    is($c->json->{md5}, $sent->{md5}, 'IPv6 caller');

    my $four = $t->mcpkt_run('connect', 'srt://127.0.0.1:%%six%%',
                             '--wait', 1);
    ok(!$four->{connected}, '[::] takes no IPv4 caller');
}


# a stream that is cut anywhere: 364 TS packets are 47 messages of 1456 bytes

my $file = $t->mcpkt('recv', 'udp://127.0.0.1:%%file%%', '--packets', 1040,
                     '--file', '%%DIR%%/in.ts');
$t->mcpkt_run('send', 'udp://127.0.0.1:%%file%%', '--packets', 1040,
              '--rate', '40m');
$file->json;

my $ts = $t->read_file('in.ts');
is(length $ts, 1040 * 1316, 'a file to send');

my $srt = $t->mcpkt('recv', 'srt://127.0.0.1:%%odd_srt%%', '--idle', 1,
                    '--file', '%%DIR%%/srt.ts');
$rtp = $t->mcpkt('recv', 'rtp://127.0.0.1:%%odd_rtp%%', '--idle', 1,
                 '--file', '%%DIR%%/rtp.ts');
$udp = $t->mcpkt('recv', 'udp://127.0.0.1:%%odd_udp%%', '--idle', 1,
                 '--file', '%%DIR%%/udp.ts');

connected('odd', 'srt', 1);

# what it reads before it is connected and after its input has ended is lost,
# so null packets go before and after

$t->write_file('slow', <<'END');
$| = 1;
open my $in, '<:raw', $ARGV[0] or die;
binmode STDOUT;

sub nulls {
    for (1 .. $_[0]) {
        print "\x47\x1f\xff\x10" . "\xff" x 184 for 1 .. 100;
        select undef, undef, undef, 0.02;
    }
}

nulls(30);

while (read $in, my $buf, 14560) {
    print $buf;
    select undef, undef, undef, 0.01;
}

nulls(50);
END

my $slt = $t->spawn('odd', 'sh', '-c', "$^X slow in.ts | srt-live-transmit"
                    . ' -chunk:1456 file://con'
                    . ' srt://127.0.0.1:%%odd%%');

# RTP and UDP take whole packets only; SRT the messages as they were

my $rs = $srt->json;
my $rr = $rtp->json;
my $ru = $udp->json;

for my $to (qw/ srt udp rtp /) {
    ok(index($t->read_file("$to.ts"), $ts) >= 0,
       "odd boundaries to $to: the same bytes");
}

ok($rs->{sizes}{1456} && keys %{ $rs->{sizes} } == 1,
   'to SRT: its messages') or diag(explain($rs->{sizes}));
is($ru->{odd_sizes}, 0, 'to UDP: whole packets');
is($ru->{sync_errors}, 0, 'to UDP: each begins with a sync byte');
is($rr->{sync_errors}, 0, 'to RTP: each begins with a sync byte');
is($rr->{rtp}{lost}, 0, 'to RTP: numbered without gaps');
is($t->source('odd')->{ts}{sync_losses}, 0, 'and no loss of sync is counted');

$slt->stop;


# bytes that are no TS at all: to SRT as they are, to UDP nothing

@args = ('--packets', 300, '--garbage', '--seed', 7);

my $direct = $t->mcpkt('recv', 'udp://127.0.0.1:%%direct%%', '--packets', 300,
                       '--md5');
$t->mcpkt_run('send', 'udp://127.0.0.1:%%direct%%', @args);
$md5 = $direct->json->{md5};

$srt = $t->mcpkt('recv', 'srt://127.0.0.1:%%junk_srt%%', '--packets', 300,
                 '--md5');
$udp = $t->mcpkt('recv', 'udp://127.0.0.1:%%junk_udp%%', '--seconds', 20);
connected('junk', 'srt', 1);

$t->mcpkt_run('send', 'srt://127.0.0.1:%%junk%%', @args);

is($srt->json->{md5}, $md5, 'no TS to SRT: the same bytes');
ok($t->source('junk')->{ts}{sync_byte_errors} > 0,
   'no TS: errors of the sync are counted');

$udp->stop;
is($udp->json->{datagrams}, 0, 'no TS to UDP: nothing');


# two pipelines: each feeds its own destinations, and lives on its own

my %recv;
$recv{p} = $t->mcpkt('recv', 'srt://127.0.0.1:%%two_op%%', '--seconds', 30);
$recv{b} = $t->mcpkt('recv', 'srt://127.0.0.1:%%two_ob%%', '--packets', 2000);
$recv{only} = $t->mcpkt('recv', 'udp://127.0.0.1:%%two_only%%',
                        '--seconds', 30);

$t->wait_for(sub {
    @{ ($t->output('two', 'o') || {})->{peers} || [] } == 1
    && @{ ($t->output('two', 'o', 'backup') || {})->{peers} || [] } == 1
}, 5, 'receivers of both pipelines');

my $p = $t->mcpkt('send', 'srt://127.0.0.1:%%two_p%%', '--id', 1,
                  '--seconds', 30);
my $b = $t->mcpkt('send', 'srt://127.0.0.1:%%two_b%%', '--id', 2,
                  '--packets', 2000, '--md5');

$t->wait_for(sub {
    my $f = $t->flow('two') or return 0;
    $f->{health} eq 'ok'
    && $t->source('two')->{packets} > 200
    && $t->source('two', 'backup')->{packets} > 200
}, 5, 'both pipelines carry a stream');

$p->stop;

$t->wait_for(sub {
    my $f = $t->flow('two') or return 0;
    $f->{pipelines}{primary}{health} eq 'down'
    && $f->{pipelines}{backup}{health} eq 'ok'
}, 5, 'the primary goes down alone');

$b->wait(10);

my $rb = $recv{b}->json;
whole($rb, 2000, 'the backup loses nothing');
is_deeply([keys %{ $rb->{ids} }], [2], 'the backup destination has its own');

$recv{$_}->stop for qw/ p only /;
is_deeply([keys %{ $recv{p}->json->{ids} }], [1],
          'the primary destination has its own');
is_deeply([keys %{ $recv{only}->json->{ids} }], [1],
          'an output without a backup has the primary');

$t->finish;
done_testing();
