#!/usr/bin/perl

# What two SRT peers agree on: latency in both directions, and encryption.
# Checked in the status and at the peer.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;

my $flows = <<'END';
mc_latency 80ms;

mc_flow lat-default {
    mc_source  srt://:%%l1%%;
    mc_output  o  srt://:%%l1o%%;
}

mc_flow lat-flow {
    mc_latency 90ms;
    mc_source  srt://:%%l2%%  rcvlatency=250;
    mc_output  o  srt://:%%l2o%%  latency=400ms  peerlatency=300;
}

mc_flow lat-call {
    mc_source  srt://127.0.0.1:%%l3%%?latency=150&peerlatency=20;
    mc_output  o  srt://127.0.0.1:%%l3o%%  latency=1s;
}
END

# a flow for each key length; both ends listen in one, call in the other

for my $key (16, 24, 32) {
    $flows .= <<"END";
mc_flow in$key {
    mc_source  srt://:%%in$key%%  passphrase=secret-$key-in  pbkeylen=$key;
    mc_output  o  srt://:%%in${key}o%%  passphrase=secret-$key-out
               pbkeylen=$key;
}
mc_flow call$key {
    mc_source  srt://127.0.0.1:%%call$key%%  passphrase_file=keys/$key
               pbkeylen=$key;
    mc_output  o  srt://127.0.0.1:%%call${key}o%%  passphrase_file=keys/$key
               pbkeylen=$key;
}
END
}

$flows .= <<'END';
mc_flow bare {
    mc_source  srt://:%%bare%%  passphrase=0123456789;
    mc_output  o  srt://:%%bareo%%;
}
mc_flow long {
    mc_source  srt://:%%long%%
        passphrase=1234567890123456789012345678901234567890123456789012345678901234567890123456789;
    mc_output  o  srt://:%%longo%%  "passphrase=with some spaces: & #!";
}
mc_flow url {
    mc_source  srt://:%%url%%?passphrase=p%25rcent%20in+url#1&pbkeylen=24;
    mc_output  o  srt://:%%urlo%%?passphrase=0123456789;
}
END

my $t = MC->new(workers => 2, log => 'notice', flows => $flows,
                files => { map { ("keys/$_" => "file secret $_\n") }
                           16, 24, 32 });


# latency: the greater of the receiver's rcvlatency and the sender's
# peerlatency holds in each direction

my @cases = (
    # flow, port, of the output, the peer's parameters, then what nginx
    # receives and sends with

    ['lat-default', 'l1', 0, 'latency=20', 80, 80],
    ['lat-default', 'l1', 0, 'latency=200', 200, 200],
    ['lat-default', 'l1', 0, 'rcvlatency=300&peerlatency=10', 80, 300],
    ['lat-default', 'l1', 0, 'rcvlatency=10&peerlatency=170', 170, 80],
    ['lat-default', 'l1o', 1, 'latency=20', 80, 80],
    ['lat-flow', 'l2', 0, 'latency=20', 250, 90],
    ['lat-flow', 'l2', 0, 'latency=500', 500, 500],
    ['lat-flow', 'l2o', 1, 'latency=20', 400, 300],
);

for (@cases) {
    my ($flow, $port, $output, $params, $recv, $send) = @$_;

    my $peer = $t->mcpkt('connect', "srt://127.0.0.1:%%$port%%?$params",
                         '--hold', 10);

    my $srt = $t->wait_for(sub {
        if ($output) {
            my $o = $t->output($flow, 'o') or return undef;
            return $o->{peers}[0] && $o->{peers}[0]{srt};
        }
        my $s = $t->source($flow);
        return $s && $s->{state} eq 'connected' && $s->{srt};
    }, 5) || {};

    $peer->stop;
    my $p = $peer->json;

    is_deeply([@{$srt}{qw/ recv_latency_ms send_latency_ms /},
               @{$p}{qw/ recv_latency send_latency /}],
              [$recv, $send, $send, $recv],
              "$flow, " . ($output ? 'output' : 'source') . ", peer $params");

    $t->wait_for(sub {
        return $output ? !@{ $t->output($flow, 'o')->{peers} }
                       : $t->source($flow)->{state} eq 'waiting';
    }, 5);
}

my $send = $t->mcpkt('send', 'srt://127.0.0.1:%%l3%%?mode=listener&latency=30',
                     '--seconds', 30);
my $recv = $t->mcpkt('recv', 'srt://127.0.0.1:%%l3o%%?mode=listener&latency=30',
                     '--seconds', 30);

$t->wait_for(sub {
    $t->source('lat-call')->{state} eq 'connected'
    && $t->output('lat-call', 'o')->{state} eq 'connected'
}, 15, 'callers are connected');

is_deeply([@{ $t->source('lat-call')->{srt} }
             {qw/ recv_latency_ms send_latency_ms /}],
          [150, 30], 'a calling source');
is_deeply([@{ $t->output('lat-call', 'o')->{srt} }
             {qw/ recv_latency_ms send_latency_ms /}],
          [1000, 1000], 'a calling output');
is($t->source('lat-call')->{srt}{encrypted}, JSON::PP::false,
   'without a passphrase: not encrypted');
is($t->source('lat-call')->{srt}{key_length}, 0, 'and no key');
like($t->source('lat-call')->{srt}{peer_version}, qr/^1\.\d+\.\d+$/,
     'the version of the peer');

$_->stop for $send, $recv;


# encryption

for my $key (16, 24, 32) {
    my ($src, $out) = ("secret-$key-in", "secret-$key-out");
    my $file = "file secret $key";

    for (["in$key", "?passphrase=$src", "?passphrase=$out"],
         ["call$key", "?mode=listener&passphrase=$file",
          "?mode=listener&passphrase=$file"])
    {
        my ($flow, $in, $out) = @$_;

        my $recv = $t->mcpkt('recv', "srt://127.0.0.1:%%${flow}o%%$out",
                             '--packets', 1500, '--md5', '--wait', 20);

        $t->wait_for(sub {
            my $o = $t->output($flow, 'o');
            $o->{state} eq 'connected';
        }, 15, "$flow: the receiver is connected");

        my $send = $t->mcpkt('send', "srt://127.0.0.1:%%$flow%%$in",
                             '--packets', 1500, '--md5', '--wait', 20);

        $t->wait_for(sub {
            my $s = $t->source($flow);
            my $o = $t->output($flow, 'o');
            my $srt = $flow =~ /^call/ ? $o->{srt} : $o->{peers}[0]{srt};

            $s->{packets} > 10 && $s->{srt}{encrypted}
            && $s->{srt}{key_length} == $key
            && $srt->{encrypted} && $srt->{key_length} == $key
        }, 10, "$flow: AES-" . $key * 8 . ' in the status');

        my $s = $send->json(15);
        my $r = $recv->json(15);

        is($r->{md5}, $s->{md5}, "$flow: the same bytes");
        is($r->{srt}{undecrypted}, 0, "$flow: all could be decrypted");
        is($s->{srt}[0]{pbkeylen}, $key, "$flow: the sender's key");
        is($r->{srt}{pbkeylen}, $key, "$flow: the receiver's key");
    }
}


# wrong and missing passphrases, as source and as output

for (['source', 'in16', 'in16', 'input-primary'],
     ['output', 'in16', 'in16o', 'output-primary'])
{
    my ($kind, $flow, $port, $type) = @$_;

    my $endpoint = sub {
        return $kind eq 'source' ? $t->source($flow) : $t->output($flow, 'o');
    };

    my $before = $endpoint->()->{rejected};

    my $r = $t->mcpkt_run('connect',
                          "srt://127.0.0.1:%%$port%%?passphrase=wrong-wrong");
    is($r->{reject_reason}, 10, "$kind: a wrong passphrase is BADSECRET");
    cmp_ok($r->{took_ms}, '<', 1500, "$kind: and the caller knows at once");

    $t->wait_for(sub { $endpoint->()->{rejected} == $before + 1 }, 6,
                 "$kind: it is counted");

    $r = $t->mcpkt_run('connect', "srt://127.0.0.1:%%$port%%");
    is($r->{reject_reason}, 11, "$kind: none at all is UNSECURE");

    $t->wait_for(sub { $endpoint->()->{rejected} == $before + 2 }, 6,
                 "$kind: it is counted too");

    # two in a second may be merged into one

    my @events = grep { $_->{code} eq 'rejected_passphrase'
                        && $_->{type} eq $type } $t->events($flow);

    ok(@events >= 1, "$kind: an event");
    like($events[0]{peer}, qr/^127\.0\.0\.1:\d+$/, "$kind: of this peer");
}

is($t->mcpkt_run('connect', 'srt://127.0.0.1:%%l1%%?passphrase=0123456789')
     ->{reject_reason}, 11, 'a passphrase where none is wanted is UNSECURE');

unlike($t->log . $t->get('')->{content} . $t->get('/flows/in16')->{content}
       . $t->get('/flows/in16/events')->{content},
       qr/secret|wrong-wrong|0123456789/, 'no passphrase anywhere');


# key lengths and unusual passphrases

for (['bare', '', '0123456789'],
     ['long', '', join('', map { $_ % 10 } 1 .. 79)],
     ['long', 'o', 'with some spaces: & #!'],
     ['url', '', 'p%rcent in+url#1'])
{
    my ($flow, $out, $pass) = @$_;

    $pass =~ s/%/%25/g;
    $pass =~ s/&/%26/g;

    my $r = $t->mcpkt_run('connect',
                          "srt://127.0.0.1:%%$flow$out%%?passphrase=$pass");
    ok($r->{connected}, "$flow: passphrase of " . length($pass)
       . ' characters') or diag(explain($r));
}

# peers may bring a stronger key than ours, and it is what the status shows

my $peer = $t->mcpkt('connect', 'srt://127.0.0.1:%%bare%%'
                     . '?passphrase=0123456789&pbkeylen=32', '--hold', 5);
$t->wait_for(sub { $t->source('bare')->{srt}{key_length}
                   && $t->source('bare')->{srt}{key_length} == 32 }, 5,
             "the status shows the key of the peer's choice");
$peer->stop;

$t->finish;
done_testing();
