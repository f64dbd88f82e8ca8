#!/usr/bin/perl

# Reloads that need another listener on a UDP socket which connections use,
# and local ports that are opened again at once.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use Test::More;
use MC;

# packets that come too late are dropped: a busy machine is no loss

my $t = MC->new(start => 0, workers => 2, log => 'notice',
                main => "mc_latency 1s;\n",
                files => { key => "of-a-file-the-first\n" });

my $six = IO::Socket::IP->new(LocalHost => '::1', Type => SOCK_DGRAM) ? 1 : 0;

my ($any, $local) = $six ? ('[::]', '[::1]') : ('', '127.0.0.1');

my %flows = (
    six => {
        in  => "srt://$any:%%s_in%% passphrase=of-the-source",
        out => { l => "srt://$any:%%s_l%%" },
    },
    options => {
        in  => 'srt://:%%o_in%% mss=1400',
        out => { l => 'srt://:%%o_l%% mss=1440 ipttl=10 iptos=16' },
    },
    callers => {
        in  => 'udp://127.0.0.1:%%c_in%%',
        out => {
            c => 'srt://127.0.0.1:%%c_c%% port=%%c_port%%',
            l => 'srt://:%%c_l%%',
            n => 'srt://127.0.0.1:%%c_n%% conntimeo=1s',
        },
    },
    file => {
        in  => 'udp://127.0.0.1:%%f_in%%',
        out => { l => 'srt://:%%f_l%% passphrase_file=key' },
    },
);

sub conf {
    return join '', map {
        my $f = $flows{$_};
        "mc_flow $_ {\n    mc_source $f->{in};\n"
        . join('', map { "    mc_output $_ $f->{out}{$_};\n" }
                       sort keys %{ $f->{out} })
        . "}\n"
    } sort keys %flows;
}

$t->{flows} = conf();
$t->start;

my $generation = $t->status->{generation};

sub reload {
    my ($exit, $out) = $t->reload(flows => conf());
    diag($out) if $exit;

    $generation++;

    $t->poll(sub { my $s = $t->status;
                   $s && $s->{generation} == $generation }, 10);
}

sub connect_ {
    return $t->mcpkt_run('connect', @_, '--wait', 10);
}

my @recv = ('--seconds', 100, '--wait', 30);
my @send = ('--seconds', 100, '--wait', 30, '--rate', '1m');

my %recv = (
    six     => $t->mcpkt('recv', "srt://$local:%%s_l%%", @recv),
    options => $t->mcpkt('recv', 'srt://127.0.0.1:%%o_l%%', @recv),
    callers => $t->mcpkt('recv', 'srt://127.0.0.1:%%c_l%%', @recv),
    file    => $t->mcpkt('recv', 'srt://127.0.0.1:%%f_l%%'
                                 . '?passphrase=of-a-file-the-first', @recv),
);

my $called = $t->mcpkt('recv', 'srt://127.0.0.1:%%c_c%%?mode=listener', @recv,
                       '--reconnect');

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep { $_->{state} ne 'connected' && $_->{name} ne 'n' }
          map { @{ $_->{outputs} } } values %{ $s->{flows} }
}, 15, 'outputs are connected');

my %send = (
    six     => $t->mcpkt('send', "srt://$local:%%s_in%%"
                                 . '?passphrase=of-the-source', @send),
    options => $t->mcpkt('send', 'srt://127.0.0.1:%%o_in%%', @send),
    callers => $t->mcpkt('send', 'udp://127.0.0.1:%%c_in%%', @send),
    file    => $t->mcpkt('send', 'udp://127.0.0.1:%%f_in%%', @send),
);

$t->wait_for(sub {
    my $s = $t->status or return 0;
    !grep { $_->{sources}[0]{state} ne 'connected' } values %{ $s->{flows} }
}, 15, 'all flows are live');


# one listener after the other on the same socket, while handshakes arrive

my $flood = $t->mcpkt('flood', 'srt://127.0.0.1:%%o_l%%', '--kind', 'full',
                      '--rate', 100, '--seconds', 30);

for my $i (1 .. 4) {
    my $ms = $i * 1000 + 500;

    s/ latency=.*// for $flows{six}{in}, $flows{options}{in},
                        $flows{options}{out}{l};

    $_ .= " latency=$ms" for $flows{six}{in}, $flows{options}{in};

    $flows{six}{out}{l} = "srt://$any:%%s_l%% latency=$ms pbkeylen=32"
                          . " passphrase=of-the-output-$i";
    $flows{options}{out}{l} .= " latency=$ms passphrase=of-the-output-$i";
    reload();

    my $c = connect_("srt://$local:%%s_l%%?passphrase=of-the-output-$i");
    is($c->{recv_latency}, $ms, "listener $i: IPv6") or diag(explain($c));

    $c = connect_("srt://127.0.0.1:%%o_l%%?passphrase=of-the-output-$i");
    is($c->{recv_latency}, $ms, "listener $i: mss, ipttl and iptos")
        or diag(explain($c));

    is($t->source($_)->{connections}, 1, "listener $i: $_ keeps its sender")
        for qw/ six options /;
}

$flood->stop;


# what it has in all: the UDP socket's own options open it anew

$flows{options}{out}{l} =~ s/mss=1440/mss=1420/;
my $before = delete $recv{options};
reload();
ok($t->poll(sub { $before->err =~ /lost|gone|closed/ || !$before->running },
            3, 0.02), 'mss: receivers are let go');
$before->stop;
my $got = $before->json;
is(join(' ', grep { $got->{$_} } qw/ lost duplicate reordered corrupted /), '',
   'and have lost nothing until then') or diag(explain($got));
is(connect_('srt://127.0.0.1:%%o_l%%?passphrase=of-the-output-4')->{connected},
   JSON::PP::true, 'the port is there again');


# a caller with a port of its own

$flows{callers}{out}{c} .= ' latency=2s';
$flows{callers}{out}{n} .= ' latency=2s';
reload();
$t->wait_for(sub {
    my $o = $t->output('callers', 'c');
    $o->{state} eq 'connected' && $o->{connections} == 2
    && $o->{srt}{send_latency_ms} == 2000
}, 10, 'a caller with a port connects again');


# another name is another output, on the same port

$flows{callers}{out}{l2} = delete $flows{callers}{out}{l};
$before = delete $recv{callers};
reload();
ok($t->poll(sub { $before->err =~ /lost|gone|closed/ || !$before->running },
            3, 0.02), 'another name: receivers are let go');
$t->wait_for(sub { ($t->output('callers', 'l2') || {})->{state} eq 'waiting' },
             2, 'the port is there at once');
$before->stop;
$recv{callers} = $t->mcpkt('recv', 'srt://127.0.0.1:%%c_l%%', @recv);
$t->wait_for(sub { $t->output('callers', 'l2')->{state} eq 'connected' }, 10,
             'and takes a receiver');


# source and output change places

($flows{options}{in}, $flows{options}{out}{l})
    = ('srt://:%%o_l%%', 'srt://:%%o_in%%');
reload();
$t->wait_for(sub {
    my $f = $t->flow('options');
    $f->{sources}[0]{state} eq 'waiting' && $f->{outputs}[0]{state} eq 'waiting'
}, 10, 'source and output change places');
(delete $send{options})->stop;
is(connect_('srt://127.0.0.1:%%o_l%%?streamid=#!::m=publish')->{connected},
   JSON::PP::true, 'the source is where the output was');


# the same line and another passphrase in the file that it names

$t->write_file('key', "of-a-file-the-second\n");
reload();
is(connect_('srt://127.0.0.1:%%f_l%%?passphrase=of-a-file-the-second')
   ->{connected}, JSON::PP::true, 'a file with another passphrase');
is(connect_('srt://127.0.0.1:%%f_l%%?passphrase=of-a-file-the-first')
   ->{reject_reason}, 10, 'not the one before');
is($t->flow('file')->{outputs}[0]{peers}[-1]{packets} > 0, 1,
   'the receiver stays');


# the end

for (keys %send) {
    kill 'TERM', $send{$_}->program;
    $send{$_}->wait(15);
}

$t->wait_for(sub {
    !grep { $t->source($_)->{state} eq 'connected' } keys %send
}, 10, 'sources end');

# the receivers have it a latency later

$t->poll(sub { 0 }, 1.2);

for (sort keys %recv) {
    $recv{$_}->stop;
    $got = $recv{$_}->json;

    my @bad = grep { $got->{$_} } qw/ lost duplicate reordered corrupted
                                      ts_lost ts_duplicate cc_errors
                                      sync_errors psi_errors /;
    push @bad, 'connections' if $got->{connections} != 1;

    is("@bad", '', "$_: not a packet is lost, not a connection")
        or diag(explain($got));
    is($got->{ts_packets}, $send{$_}->json->{ts_packets},
       "$_: all that was sent") if /six|file/;
}

unlike($t->read_file('error.log') . $t->get('')->{content},
       qr/of-(?:the|a)-/, 'no passphrase is told');

$called->stop;
$t->finish;
done_testing();
