#!/usr/bin/perl

# Several flows on one SRT port: who reaches which, with which passphrase,
# and how those are refused who reach none.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ time /;
use MC;

my $t = MC->new(workers => 3, log => 'notice', flows => <<'END');
mc_flow a {
    mc_source  srt://:%%port%%  streamid=live/a  passphrase=passphrase-of-a;
    mc_output  o  srt://:%%port%%  streamid=live/a  passphrase=passphrase-of-a;
}
mc_flow b {
    mc_source  srt://:%%port%%  streamid=#!::r=b  passphrase=passphrase-of-b
               pbkeylen=32;
    mc_output  o  srt://:%%port%%  streamid=#!::r=b,m=request;
}
mc_flow c {
    mc_source  srt://:%%port%%  streamid=c;
    mc_output  o  srt://:%%port%%  streamid=c-out  max_peers=2;
}
mc_flow d {
    mc_source  srt://:%%port%%?streamid=%23!::r=d,u=someone;
    mc_source  srt://:%%port%%  streamid=d-backup  backup;
    mc_output  o  srt://:%%d_out%%;
    mc_output  o  srt://:%%d_backup%%  backup;
}
mc_flow closed {
    mc_source  srt://:%%port%%  streamid=closed  allow=192.0.2.0/24;
    mc_output  o  srt://:%%port%%  streamid=open  allow=127.0.0.0/8;
}
mc_flow alone {
    mc_source  srt://:%%alone%%;
    mc_output  o  srt://:%%alone_out%%;
}
END

my $port = 'srt://127.0.0.1:%%port%%';

sub url {
    my ($streamid, $passphrase) = @_;

    $streamid =~ s/([#&%])/sprintf '%%%02X', ord $1/ge;

    return "$port?streamid=$streamid"
           . ($passphrase ? "&passphrase=$passphrase" : '');
}

# waits until nobody sends any more

sub idle {
    my ($flow) = @_;

    $t->wait_for(sub { $t->source($flow)->{state} eq 'waiting' }, 5);
}

my $workers = join ' ', sort map { $_->{worker} }
              @{ $t->status->{flows} }{qw/ a b c d closed /};
like($workers, qr/^(\d)( \1){4}$/, 'flows that share a port share a worker');


# all of them at once, each with its own stream and passphrase

my %in = (
    a => url('#!::m=publish,r=live/a', 'passphrase-of-a'),
    b => url('#!::r=b,m=publish,u=x,other=y', 'passphrase-of-b'),
    c => url('c'),
    d => url('#!::x=1,r=d'),
);

my %out = (
    a => url('#!::r=live/a', 'passphrase-of-a'),
    b => url('#!::r=b'),
    c => url('c-out'),
    d => 'srt://127.0.0.1:%%d_out%%',
);

my (%recv, %send);

for (sort keys %out) {
    $recv{$_} = $t->mcpkt('recv', $out{$_}, '--packets', 600, '--md5',
                          '--wait', 15);
}

for my $flow (sort keys %out) {
    $t->wait_for(sub { @{ $t->output($flow, 'o')->{peers} } == 1 }, 10,
                 "$flow: a receiver is there");
}

my $id = 100;

for (sort keys %in) {
    $send{$_} = $t->mcpkt('send', $in{$_}, '--packets', 600, '--md5',
                          '--rate', '5m', '--id', ++$id);
}

is($t->output('a', 'o')->{peers}[0]{streamid}, '#!::r=live/a',
   'the streamid of a receiver is shown');

my $key = $t->wait_for(sub { $t->source('b')->{srt}{key_length} }, 3);
is($key, 32, 'the key length is that of the flow, not of the port');

for (sort keys %in) {
    my $s = $send{$_}->json(15);
    my $r = $recv{$_}->json(15);

    is($r->{md5}, $s->{md5}, "$_: its own stream, byte for byte")
        or diag(explain([$s, $r]));
}

idle($_) for sort keys %in;


# who reaches what: plain streamids both, keyed ones by "m"

for (['live/a', 'passphrase-of-a', 'a', 'sources or outputs'],
     ['#!::r=c', '', 'c', 'a source, if there is nothing else'],
     ['#!::r=c,m=publish', '', 'c', 'a source to publish'],
     ['#!::m=publish,r=d-backup', '', 'd', 'a backup source'],
     ['#!:{r=c,m=publish}', '', 'c', 'the form with braces'])
{
    my ($streamid, $pass, $flow, $name) = @$_;

    my $r = $t->mcpkt_run('connect', url($streamid, $pass));
    ok($r->{connected}, "$streamid reaches $name") or diag(explain($r));

    idle($flow);
}

my $refused = sub {
    my ($url, $code, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    my $r = $t->mcpkt_run('connect', $url, '--wait', 3);
    is($r->{reject_reason}, $code, "$name is refused with $code")
        or diag(explain($r));
    cmp_ok($r->{took_ms}, '<', 500, "$name: at once");
};

$refused->(url('nobody'), 1404, 'an unknown streamid');
$refused->(url('#!::r=nobody'), 1404, 'an unknown resource');
$refused->($port, 1404, 'no streamid');
$refused->(url('#!::r=c-out,m=publish'), 1404, 'publishing to an output');
$refused->(url('#!::r=d-backup,m=request,r=d'), 1400, 'a malformed streamid');
$refused->(url('#!::r=live/a', 'passphrase-of-b'), 10,
           'the passphrase of another flow');
$refused->(url('#!::r=live/a'), 11, 'no passphrase');
$refused->(url('c', 'passphrase-of-a'), 11,
           'a passphrase where the flow has none');
$refused->(url('closed'), 1403, 'an address that is not allowed');

ok($t->mcpkt_run('connect', url('open'))->{connected},
   'an address that is allowed');

my @codes = map { $_->{code} } $t->events('closed');
ok((grep { $_ eq 'rejected_address' } @codes), 'an event of the address');
is($t->source('closed')->{rejected}, 1, 'which is counted');

my $unknown = $t->wait_for(sub {
    my @e = grep { $_->{code} eq 'rejected_streamid' }
            map { $t->events($_) } qw/ a b c d closed /;
    @e && \@e
}, 3, 'an event of the unknown streamid') || [{}];

like($unknown->[0]{peer}, qr/^127\.0\.0\.1:\d+$/, 'with the peer');

my $rejected = 0;
for my $flow (values %{ $t->status->{flows} }) {
    $rejected += $_->{rejected} for @{ $flow->{sources} },
                                    @{ $flow->{outputs} };
}
is($rejected, 9, 'all are counted');

like($t->log, qr/rejected_address/, 'and logged');


# a source is one caller's, until it has been silent for over a second

my $first = $t->mcpkt('send', url('c'), '--id', 1, '--seconds', 60);
my $recv = $t->mcpkt('recv', url('c-out'), '--seconds', 60);

$t->wait_for(sub { $t->source('c')->{packets} > 800 }, 10,
             'a first caller sends');

$refused->(url('c'), 1409, 'a second caller');

my ($busy) = grep { $_->{code} eq 'rejected_busy' } $t->events('c');
ok($busy, 'an event of it');

$first->signal('STOP');

my $packets = 0;
$t->wait_for(sub {
    my $n = $t->source('c')->{packets};
    my $same = $n == $packets;
    $packets = $n;
    $same
}, 5, 'the first caller falls silent');

# "over a second": it takes one for the second caller to be heard

my $start = time();
my $second;

$t->wait_for(sub {
    my $r = $t->mcpkt_run('connect', url('c', 'passphrase-of-a'), '--wait', 1);
    $r->{reject_reason} == 11
}, 5, 'a caller with a wrong passphrase does not pass');

is($t->source('c')->{state}, 'connected', 'nor end the first');

$t->wait_for(sub {
    my $r = $t->mcpkt_run('connect', url('c'), '--wait', 1);
    $r->{connected}
}, 5, 'a second caller may replace it');

cmp_ok(time() - $start, '<', 4, 'well before the first has timed out');

$second = $t->mcpkt('send', url('c'), '--id', 2, '--packets', 500);
$second->wait(10);
is($second->json->{connections}, 1, 'and a third that one');

$first->signal('CONT');
$first->wait(10);
ok(!$first->running, 'the first is told');

$recv->stop;
my $r = $recv->json;
ok($r->{ids}{1} && $r->{ids}{2}, 'the receiver got both streams')
    or diag(explain($r->{ids}));
is($r->{connections}, 1, 'over one connection');


# max_peers

my @peers = map { $t->mcpkt('connect', url('c-out'), '--hold', 30) } 1 .. 2;

$t->wait_for(sub { @{ $t->output('c', 'o')->{peers} } == 2 }, 5,
             'as many receivers as allowed');

my $over = $t->mcpkt_run('connect', url('c-out'));
ok(!$over->{connected}, 'one more is refused');
cmp_ok($over->{reject_reason}, '>=', 1000, 'with a reason')
    or diag(explain($over));

$t->wait_for(sub { grep { $_->{code} eq 'rejected_limit' } $t->events('c') },
             3, 'an event of it');

$peers[0]->stop;

$t->wait_for(sub { $t->mcpkt_run('connect', url('c-out'))->{connected} }, 5,
             'a free place can be taken');

$peers[1]->stop;


# one without a streamid stands alone and takes any

for ('', '?streamid=anything', '?streamid=%23!::r=x,m=publish') {
    ok($t->mcpkt_run('connect', "srt://127.0.0.1:%%alone%%$_")->{connected},
       "alone on its port: \"$_\"");
    idle('alone');
}

$t->finish;
done_testing();
