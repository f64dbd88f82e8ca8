#!/usr/bin/perl

# What a receiver sees of an output's options, ttl=, tos= and pkt_size=; host
# names, and URLs as other tools write them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;
use MC::Datagram qw/ rtp rtp_read ts ts_read /;

my $six = -e '/proc/net/if_inet6'
    && `cat /proc/net/if_inet6` =~ /^0{31}1 /m;

my $flows = <<'END';
mc_flow four {
    mc_source  udp://127.0.0.1:%%four%%;
    mc_output  ttl   udp://127.0.0.1:%%four_ttl%%  ttl=7  tos=184;
    mc_output  rtp   rtp://127.0.0.1:%%four_rtp%%?ttl=255&tos=32;
    mc_output  none  udp://127.0.0.1:%%four_none%%;
}
mc_flow names {
    mc_source  udp://@:%%names%%;
    mc_output  name  udp://localhost:%%names_out%%;
    mc_output  size  udp://127.0.0.1:%%names_size%%?pkt_size=188;
}
mc_flow taken {
    mc_source  udp://127.0.0.1:%%taken%%;
    mc_source  rtp://127.0.0.1:%%taken_b%%  backup;
    mc_output  o  udp://127.0.0.1:%%taken_out%%;
    mc_output  o  udp://127.0.0.1:%%taken_outb%%  backup;
}
END

$flows .= <<'END' if $six;
mc_flow six {
    mc_source  rtp://[::1]:%%six%%;
    mc_output  ttl   udp://[::1]:%%six_ttl%%  ttl=9  tos=184;
    mc_output  rtp   rtp://[::1]:%%six_rtp%%?ttl=33;
    mc_output  none  udp://[::1]:%%six_none%%;
}
END

my $t = MC->new(log => 'notice', flows => $flows, start => 0);

# somebody else has this port
my $squatter = MC::Datagram->new(port => $t->port('taken'));

$t->start;

my $default = $t->read_file('/proc/sys/net/ipv4/ip_default_ttl') + 0 || 64;
my $hops = $t->read_file('/proc/sys/net/ipv6/conf/lo/hop_limit') + 0 || 64;


# ttl= and tos=

for (['four', '127.0.0.1', { ttl => [7, 184], rtp => [255, 32],
                             none => [$default, 0] }],
     $six ? ['six', '::1', { ttl => [9, 184], rtp => [33, 0],
                             none => [$hops, 0] }] : ())
{
    my ($flow, $addr, $want) = @$_;

    my %out = map {
        $_ => MC::Datagram->new(addr => $addr, port => $t->port("${flow}_$_"))
    } keys %$want;
    my $in = MC::Datagram->new(to => [$addr, $t->port($flow)]);

    for my $name (sort keys %$want) {

        # the first call sets the options of the socket
        $out{$name}->recv_info(0);
    }

    $in->send($flow eq 'six' ? rtp(seq => $_, payload => ts($_)) : ts($_))
        for 0 .. 2;

    for my $name (sort keys %$want) {
        my @got = map { $out{$name}->recv_info(2) } 0 .. 2;

        is_deeply([map { [@{ $_ || {} }{qw/ ttl tos /}] } @got],
                  [map { $want->{$name} } 0 .. 2],
                  "$flow: ttl and tos of output $name");
        is_deeply([map { ts_read(($_ || {})->{data} || '') } @got], [0 .. 2],
                  "$flow: datagrams of output $name");
    }
}


# names, and sizes

my $name = MC::Datagram->new(port => $t->port('names_out'));
my $size = MC::Datagram->new(port => $t->port('names_size'));
my $in = MC::Datagram->new(to => ['127.0.0.1', $t->port('names')]);

$t->wait_for(sub { $t->output('names', 'name')->{state} eq 'connected' }, 5,
             'a name resolves');

$in->send(map { ts($_) } 0 .. 9);

is_deeply([map { ts_read($_) } $name->recv_all(10, 2)], [0 .. 9],
          'to a host by its name');

my @got = $size->recv_all(70, 2);
is(scalar(grep { length == 188 } @got), 70, 'pkt_size=188: one packet each');
ok(join('', @got) eq join('', map { ts($_) } 0 .. 9),
   'pkt_size=188: the same bytes');
is($t->output('names', 'size')->{packets}, 70, 'pkt_size=188: counted');


# a port that another program has

$t->wait_for(sub {
    my $s = $t->source('taken');
    $s->{state} eq 'connecting' && $s->{last_error} && $s->{retry_at};
}, 3, 'a port that is taken: tries again');

my $e;

$t->wait_for(sub {
    ($e) = grep { $_->{code} eq 'address_in_use' } $t->events('taken');
}, 5, 'a port that is taken: address_in_use');
is(($e || {})->{type}, 'input-primary', 'a port that is taken: of that source');
is($t->source('taken', 'backup')->{state}, 'waiting', 'the other one listens');

close $squatter->socket;

$t->wait_for(sub { $t->source('taken')->{state} eq 'waiting' }, 12,
             'the port is free: the source listens');
is($t->source('taken')->{last_error}, undef, 'and has no error');

$in = MC::Datagram->new(to => ['127.0.0.1', $t->port('taken')]);
my $out = MC::Datagram->new(port => $t->port('taken_out'));
$in->send(ts(7));
is(ts_read($out->recv(2) || ''), 7, 'and receives');

$t->finish;
done_testing();
