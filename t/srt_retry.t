#!/usr/bin/perl

# Callers that find nobody: when they try again, what they say meanwhile, and
# host names whose address comes later or changes.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Select;
use IO::Socket::INET;
use Test::More;
use Time::HiRes qw/ time /;
use MC;

my $t = MC->new(start => 0, workers => 2, log => 'notice', flows => <<'END');
mc_resolver 127.0.0.1:%%dns%% valid=1s ipv6=off;

mc_flow out {
    mc_source  srt://:%%in%%;
    mc_output  silent   srt://127.0.0.1:%%silent%%  conntimeo=200;
    mc_output  refused  srt://127.0.0.1:%%in2%%  streamid=nobody;
    mc_output  secret   srt://127.0.0.1:%%in3%%  passphrase=0123456789;
    mc_output  late     srt://127.0.0.1:%%late%%  conntimeo=300;
    mc_output  name     srt://receiver.mc.test:%%name%%  conntimeo=300;
    mc_output  udp      udp://receiver.mc.test:%%udp%%;
}
mc_flow two {
    mc_source  srt://:%%in2%%  streamid=two;
    mc_output  o  srt://:%%out2%%;
}
mc_flow three {
    mc_source  srt://:%%in3%%;
    mc_output  o  srt://:%%out3%%;
}
mc_flow taken {
    mc_source  srt://127.0.0.1:%%taken%%?mode=listener;
    mc_output  o  srt://:%%taken_o%%;
}
END


# a name server that does not know the name yet; a port that is taken

my $hosts = $t->write_file('hosts', "127.0.0.9 other.mc.test\n");

$t->port($_) for qw/ dns silent taken /;

my $dns = $t->spawn('dnsmasq', 'dnsmasq', '-k', '-C', '/dev/null', '-h', '-R',
                    '-p', '%%dns%%', '-a', '127.0.0.1', '-z', '-u', 'root',
                    '-x', '%%DIR%%/dnsmasq.pid', '-8', '%%DIR%%/dnsmasq.log',
                    '-q', '-H', $hosts, '--local=/mc.test/');

$t->wait_for(sub { $t->read_file('dnsmasq.log') =~ /started/ }, 5,
             'a name server');

my $silent = IO::Socket::INET->new(Proto => 'udp',
                                   LocalAddr => '127.0.0.1',
                                   LocalPort => $t->port('silent'));
my $taken = IO::Socket::INET->new(Proto => 'udp',
                                  LocalAddr => '127.0.0.1',
                                  LocalPort => $t->port('taken'));

$t->start;


# the attempts as the silent peer sees them: each has its own socket id, in
# the handshake's words from byte 16 on

my (%seen, @attempts);
my $select = IO::Select->new($silent);
my $end = time() + 20;

while (@attempts < 6 && time() < $end) {
    next unless $select->can_read(0.5);

    $silent->recv(my $packet, 2000);
    next if length $packet < 64;

    my $id = unpack 'x16 x24 N', $packet;
    push @attempts, time() unless $seen{$id}++;
}

is(scalar @attempts, 6, 'attempts');

my @gaps = map { $attempts[$_ + 1] - $attempts[$_] } 0 .. $#attempts - 1;
my $gaps = join ' ', map { sprintf '%.2f', $_ } @gaps;

# the time an attempt takes is in it: 0.2 s, and libsrt looks rarely

cmp_ok($gaps[0], '<', 0.8, "the first retry is at once ($gaps)");
ok((!grep { $gaps[$_ + 1] < $gaps[$_] * 1.15 } 1 .. $#gaps - 1),
   "then each takes longer ($gaps)");
cmp_ok($gaps[-1], '<', 10.5, 'but not too long');

my $status = $t->status;
my %o = map { $_->{name} => $_ } @{ $status->{flows}{out}{outputs} };

is($o{silent}{state}, 'connecting', 'silent: is connecting');
is($o{silent}{last_error}, 'connection timed out', 'silent: says why');
like($o{silent}{retry_at} || 'T', qr/T/, 'silent: and when next');

my ($failed) = grep { $_->{code} eq 'connect_failed'
                      && $_->{name} eq 'silent' } $t->events('out');
ok($failed, 'silent: an event');

like($o{refused}{last_error}, qr/1404/, 'refused: says why');
like($o{secret}{last_error}, qr/passphrase/, 'secret: says why');

cmp_ok(sec($o{refused}{retry_at} || $status->{time}), '>=',
       sec($status->{time}) - 1, 'refused: and when next');

is($status->{flows}{out}{health}, 'down', 'nothing comes in: down');
ok((grep { /silent/ && /timed out/ } @{ $status->{flows}{out}{reasons} }),
   'the reason names the output');


# somebody is there at last

my $recv = $t->mcpkt('recv', 'srt://127.0.0.1:%%late%%?mode=listener',
                     '--seconds', 60);

$t->wait_for(sub { $t->output('out', 'late')->{state} eq 'connected' }, 11,
             'late: is connected');

my $late = $t->output('out', 'late');
is($late->{last_error}, undef, 'late: no error');
is($late->{retry_at}, undef, 'late: no retry');
like($late->{connected_at}, qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/,
     'late: since when');
is($late->{peer}, '127.0.0.1:' . $t->port('late'), 'late: to whom');

$recv->stop;

$t->wait_for(sub { $t->output('out', 'late')->{disconnections} == 1 }, 3,
             'late: sees the end at once');

$recv = $t->mcpkt('recv', 'srt://127.0.0.1:%%late%%?mode=listener',
                  '--seconds', 60);

$t->wait_for(sub { $t->output('out', 'late')->{connections} == 2 }, 11,
             'late: and comes back');


# a port that another program has

my $s = $t->source('taken');
is($s->{state}, 'connecting', 'taken: is connecting');
like($s->{last_error}, qr/in use/i, 'taken: says why');
ok((grep { $_->{code} eq 'address_in_use' } $t->events('taken')),
   'taken: an event');

close $taken;

$t->wait_for(sub { $t->source('taken')->{state} eq 'waiting' }, 11,
             'taken: free again');
ok($t->mcpkt_run('connect', 'srt://127.0.0.1:%%taken%%')->{connected},
   'taken: and serves');


# a name

my $name = $t->output('out', 'name');
is($name->{state}, 'connecting', 'name: is connecting');
like($name->{last_error}, qr/receiver\.mc\.test/, 'name: says which');
ok((grep { $_->{code} eq 'resolve_failed' && $_->{name} eq 'name' }
    $t->events('out')), 'name: an event');
is($t->output('out', 'udp')->{state}, 'connecting', 'name: of a UDP output');

my $one = $t->mcpkt('recv', 'srt://127.0.0.1:%%name%%?mode=listener',
                    '--seconds', 60);
my $udp = $t->mcpkt('recv', 'udp://127.0.0.1:%%udp%%', '--seconds', 60);

$t->write_file('hosts', "127.0.0.1 receiver.mc.test\n");
$dns->signal('HUP');

$t->wait_for(sub { $t->output('out', 'name')->{state} eq 'connected' }, 14,
             'name: appears');
is($t->output('out', 'name')->{peer}, '127.0.0.1:' . $t->port('name'),
   'name: its address');

$t->wait_for(sub { $t->output('out', 'udp')->{state} eq 'connected' }, 14,
             'name: of a UDP output too');

my $send = $t->mcpkt('send', 'srt://127.0.0.1:%%in%%', '--seconds', 40,
                     '--rate', '2m');
$t->wait_for(sub { $t->output('out', 'name')->{packets} > 150 }, 5);

$t->write_file('hosts', "127.0.0.2 receiver.mc.test\n");
$dns->signal('HUP');

my $two = $t->mcpkt('recv', 'srt://127.0.0.2:%%name%%?mode=listener',
                    '--packets', 50);
$one->stop;
cmp_ok($one->json->{datagrams}, '>', 0, 'name: data at the first address');

$t->wait_for(sub {
    my $o = $t->output('out', 'name');
    $o->{state} eq 'connected' && $o->{peer} =~ /^127\.0\.0\.2:/
}, 14, 'name: changes its address');

is($two->json->{datagrams}, 50, 'name: data at the second address');

$udp->stop;
cmp_ok($udp->json->{datagrams}, '>', 0, 'name: data over UDP');

$t->finish;
done_testing();


sub sec {
    my ($h, $m, $s) = $_[0] =~ /T(\d+):(\d+):([\d.]+)Z/;

    return $h * 3600 + $m * 60 + $s;
}
