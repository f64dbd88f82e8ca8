#!/usr/bin/perl

# Groups: joining on an interface, from one source only, over IPv4 and IPv6;
# a source takes what came in on its own interface.  As root in a network
# namespace of its own, with two links to another; else on loopback alone.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw/ sleep /;
use MC;
use MC::Datagram qw/ rtp ts ts_read /;

if ($> == 0 && !$ENV{MC_NETNS} && system('unshare -n true 2>/dev/null') == 0) {
    $ENV{MC_NETNS} = 1;
    exec 'unshare', '-n', $^X, $0, @ARGV;
    die "unshare: $!";
}

my $links = $ENV{MC_NETNS};

sub ip {
    my $out = `ip @_ 2>&1`;
    return $? == 0 || (diag("ip @_: $out"), 0);
}

system('ip link set lo up') if $links;

my $t = MC->new(start => 0, log => 'notice');
my $flows = <<'END';
mc_flow lo {
    mc_source  udp://239.9.9.9:%%lo%%  interface=127.0.0.1;
    mc_output  rtp   rtp://239.9.9.10:%%lo_rtp%%  interface=127.0.0.1;
    mc_output  far   udp://239.9.9.11:%%lo_far%%  interface=lo  ttl=16;
    mc_output  unicast  udp://127.0.0.1:%%lo_udp%%;
}
END

my $far;

if ($links) {
    $far = $t->spawn('far', 'unshare', '-n', 'sleep', 100);

    my $pid = $t->wait_for(sub {
        my $pid = $far->program or return 0;
        readlink("/proc/$pid/ns/net") ne readlink('/proc/self/ns/net')
            && $pid;
    }, 5, 'another namespace');

    # near0 to far0 and near1 to far1; the far end has two addresses each

    my $ok = ip('link set lo up');

    for my $i (0, 1) {
        $ok &&= ip("link add near$i type veth peer name far$i")
            && ip("link set far$i netns $pid")
            && ip("addr add 10.77.$i.1/24 dev near$i")
            && ip("link set near$i up");
        $ok &&= system("nsenter -t $pid -n sh -ec '"
            . "ip addr add 10.77.$i.2/24 dev far$i;"
            . "ip addr add 10.77.$i.3/24 dev far$i; ip link set lo up;"
            . "ip link set far$i up'") == 0;

        ip("-6 addr add fd77:$i\::1/64 dev near$i nodad") if $ok;
        system("nsenter -t $pid -n ip -6 addr add fd77:$i\::2/64 dev far$i"
               . ' nodad') if $ok;
    }

    $ok &&= ip('route add 224.0.0.0/4 dev near0');

    # what reaches only the interface of a route is not filtered for its
    # source

    for my $name (qw/ all near0 near1 /) {
        if (open my $f, '>', "/proc/sys/net/ipv4/conf/$name/rp_filter") {
            print $f 0;
        }
    }

    ok($ok, 'two links to it') or $links = 0;
}

my $six = $links && -e '/proc/net/if_inet6'
    && $t->read_file('/proc/net/if_inet6') =~ /near0/;

$flows .= <<'END' if $links;
mc_flow name0 {
    mc_source  udp://239.7.7.7:%%both%%  interface=near0;
    mc_output  o  udp://127.0.0.1:%%name0%%;
}
mc_flow addr1 {
    mc_source  udp://@239.7.7.7:%%both%%?interface=10.77.1.1;
    mc_output  o  udp://127.0.0.1:%%addr1%%;
}
mc_flow route {
    mc_source  udp://239.7.7.7:%%both%%;
    mc_output  o  udp://127.0.0.1:%%route%%;
}
mc_flow other {
    mc_source  udp://239.7.7.8:%%both%%  interface=near0;
    mc_output  o  udp://127.0.0.1:%%other%%;
}
mc_flow ssm {
    mc_source  rtp://232.7.7.7:%%ssm%%  source=10.77.0.2  interface=near0;
    mc_output  o  udp://127.0.0.1:%%ssm_out%%;
}
mc_flow ssm3 {
    mc_source  rtp://232.7.7.7:%%ssm%%?source=10.77.0.3&interface=near0;
    mc_output  o  udp://127.0.0.1:%%ssm3_out%%;
}
mc_flow out {
    mc_source  udp://127.0.0.1:%%out%%;
    mc_output  zero   rtp://239.8.8.8:%%zero%%  interface=near0;
    mc_output  one    udp://239.8.8.8:%%one%%  interface=10.77.1.1  ttl=3;
    mc_output  route  udp://239.8.8.9:%%default%%;
}
mc_flow later {
    mc_source  udp://239.7.7.9:%%later%%  interface=later0;
    mc_output  o  udp://127.0.0.1:%%later_out%%;
    mc_output  later  udp://239.7.7.9:%%later_to%%  interface=later0;
}
END

$flows .= <<'END' if $six;
mc_flow six0 {
    mc_source  udp://[ff15::77]:%%six%%  interface=near0;
    mc_output  o  udp://127.0.0.1:%%six0%%;
}
mc_flow six1 {
    mc_source  udp://[ff15::77]:%%six%%  interface=near1;
    mc_output  o  udp://127.0.0.1:%%six1%%;
}
mc_flow sixout {
    mc_source  udp://127.0.0.1:%%sixout%%;
    mc_output  zero  rtp://[ff15::88]:%%sixzero%%  interface=near0;
    mc_output  one   udp://[ff15::88]:%%sixone%%  interface=near1;
}
END

$t->{flows} = $flows;
$t->start;


# loopback: a group in, groups out; they stay on the network unless told to go
# further

my $rtp = MC::Datagram->new(group => '239.9.9.10', port => $t->port('lo_rtp'));
my $wide = MC::Datagram->new(group => '239.9.9.11', port => $t->port('lo_far'));
my $udp = MC::Datagram->new(port => $t->port('lo_udp'));

$_->recv_info(0) for $rtp, $wide;

my $recv = $t->mcpkt_run('send', 'udp://239.9.9.9:%%lo%%', '--packets', 100,
                         '--iface', '127.0.0.1', '--rate', '10m');

my @rtp = map { $rtp->recv_info(2) } 1 .. 100;
my @wide = map { $wide->recv_info(2) } 1 .. 100;

is(scalar $udp->recv_all(100, 2), 100, 'from a group to unicast');
is(scalar(grep { $_ && $_->{ttl} == 1 } @rtp), 100,
   'to a group: the TTL is 1');
is(scalar(grep { $_ && $_->{ttl} == 16 } @wide), 100,
   'to a group with ttl=16');
is(scalar(grep { $_ && (unpack('n', $_->{data}) & 0xff7f) == 0x8021 } @rtp),
   100, 'RTP to a group');

unless ($links) {
    $t->finish;
    done_testing();
    exit;
}


# from here on senders and receivers are at the other end of the links

sub far {
    my ($cmd, @args) = @_;

    my $p = $t->spawn("far-$cmd", 'nsenter', '-t', $far->program, '-n',
                      $t->tool, $cmd, @args);
    $p->wait_out(qr/ready/, 10) if $cmd eq 'recv';

    return $p;
}

sub near {
    my ($port) = @_;

    return $t->mcpkt('recv', "udp://127.0.0.1:%%$port%%", '--seconds', 30);
}

sub ended {
    my (%recv) = @_;

    my %got;

    # what has been sent is there: nothing on the way waits for more

    $t->poll(sub { 0 }, 0.5);

    for (keys %recv) {
        $recv{$_}->stop;
        $got{$_} = $recv{$_}->json;
    }

    return %got;
}

sub only {
    my ($got, $id, $n, $name) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    is_deeply([[keys %{ $got->{ids} }], @$got{qw/ datagrams lost duplicate /}],
              [defined $id ? [$id] : [], $n, 0, 0], $name)
        or diag(explain($got->{ids}));
}

my $n = 200;
my @args = ('--packets', $n, '--rate', '5m');


# one group and port on both links, and another group on one

my %recv = map { $_ => near($_) } qw/ name0 addr1 route other /;

my @send = (far('send', 'udp://239.7.7.7:%%both%%', '--iface', 'far0',
                '--id', 1, @args),
            far('send', 'udp://239.7.7.7:%%both%%', '--iface', 'far1',
                '--id', 2, @args),
            far('send', 'udp://239.7.7.8:%%both%%', '--iface', 'far0',
                '--id', 3, @args));
$_->json for @send;

my %got = ended(%recv);

only($got{name0}, 1, $n, 'interface=NAME: what came in there');
only($got{addr1}, 2, $n, 'interface=ADDRESS: what came in there');
only($got{route}, 1, $n, 'without interface=: where the route leads');
only($got{other}, 3, $n, 'another group on the same port: its own');

is($t->source($_)->{rejected}, 0, "$_: nothing refused")
    for qw/ name0 addr1 route other /;
like($t->source('addr1')->{peer} || '10.77.1.2:1', qr/^10\.77\.1\./,
     'the peer is at that link');


# one group, two who send to it

%recv = map { $_ => near($_) } qw/ ssm_out ssm3_out /;

@send = map { far('send', 'rtp://232.7.7.7:%%ssm%%', '--iface', 'far0',
                  '--bind', "10.77.0.$_", '--id', $_, @args) } 2, 3;
$_->json for @send;

%got = ended(%recv);

only($got{ssm_out}, 2, $n, 'source=: only that sender');
only($got{ssm3_out}, 3, $n, 'source=: and the other in another flow');
is($t->source('ssm')->{rejected}, 0, 'source=: the kernel filters');


# outputs leave on their interface

my %at = (zero => ['rtp', '239.8.8.8', 'far0', 'zero'],
          not_zero => ['rtp', '239.8.8.8', 'far1', 'zero'],
          one => ['udp', '239.8.8.8', 'far1', 'one'],
          not_one => ['udp', '239.8.8.8', 'far0', 'one'],
          route => ['udp', '239.8.8.9', 'far0', 'default']);

%recv = map {
    my ($proto, $group, $iface, $port) = @{ $at{$_} };
    $_ => far('recv', "$proto://$group:%%$port%%", '--iface', $iface,
              '--seconds', 30)
} keys %at;

$t->mcpkt_run('send', 'udp://127.0.0.1:%%out%%', '--id', 5, @args);
%got = ended(%recv);

only($got{$_}, 5, $n, "output $_: is there") for qw/ zero one route /;
only($got{$_}, undef, 0, "output $_: is not") for qw/ not_zero not_one /;


SKIP: {
    skip 'no IPv6 here', 7 unless $six;

    %recv = map { $_ => near($_) } qw/ six0 six1 /;

    @send = map { far('send', 'udp://[ff15::77]:%%six%%', '--iface', "far$_",
                      '--id', 6 + $_, @args) } 0, 1;
    $_->json for @send;

    %got = ended(%recv);

    only($got{six0}, 6, $n, 'IPv6: what came in on near0');
    only($got{six1}, 7, $n, 'IPv6: what came in on near1');
    is($t->source($_)->{rejected}, 0, "IPv6: nothing refused by $_")
        for qw/ six0 six1 /;

    # a group that any socket has joined reaches all of them, whatever the
    # interface: who should get nothing listens alone

    %at = (zero => ['rtp', 'far0', 'sixzero'], one => ['udp', 'far1', 'sixone'],
           not => ['udp', 'far0', 'sixone']);

    for my $round ([qw/ zero one /], ['not']) {
        %recv = map {
            my ($proto, $iface, $port) = @{ $at{$_} };
            $_ => far('recv', "$proto\://[ff15::88]:%%$port%%", '--iface',
                      $iface, '--seconds', 30)
        } @$round;

        $t->mcpkt_run('send', 'udp://127.0.0.1:%%sixout%%', '--id', 8, @args);
        %got = (%got, ended(%recv));
        sleep 0.3;
    }

    only($got{$_}, 8, $n, "IPv6 output $_: is there") for qw/ zero one /;
    only($got{not}, undef, 0, 'IPv6 output one: is not at near0');
}


# an interface that comes later

my $s = $t->source('later');
is($s->{state}, 'connecting', 'an interface that is not there');
like($s->{last_error}, qr/later0/, 'is named');
ok($s->{retry_at}, 'and tried again');
ok(scalar(grep { $_->{code} eq 'connect_failed' } $t->events('later')),
   'connect_failed');
is($t->output('later', 'later')->{state}, 'connecting', 'an output, too');

ok(ip('link add later0 type veth peer name later1')
   && ip('addr add 10.78.0.1/24 dev later0')
   && ip('link set later0 up') && ip('link set later1 up'),
   'there it is');

$t->wait_for(sub {
    $t->source('later')->{state} eq 'waiting'
    && $t->output('later', 'later')->{state} eq 'connected'
}, 15, 'it is joined');

is($t->source('later')->{last_error}, undef, 'no error any more');

$t->finish;
done_testing();
