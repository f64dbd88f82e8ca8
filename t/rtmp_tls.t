#!/usr/bin/perl

# RTMPS: certificates that are right, and those that are not, are told apart;
# what goes through is whole.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";

use File::Temp qw/ tempdir /;
use Test::More;

use MC;
use MC::Media qw/ sample same_media /;
use MC::Rtmp qw/ publish rtmp_server connected event certificates /;


my $dir = tempdir('mc-test-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $dir;

certificates("$dir/tls", good => ['DNS:localhost,IP:127.0.0.1'],
             name => ['DNS:localhost'],
             other => ['DNS:elsewhere.example,IP:127.0.0.2'],
             expired => ['DNS:localhost,IP:127.0.0.1', -1]);
certificates("$dir/stranger", any => ['DNS:localhost,IP:127.0.0.1']);

my @certs = qw/ name other expired /;

my $server = rtmp_server(
    tls => ["$dir/tls/good.crt", "$dir/tls/good.key"],
    stream => join('', map {
        "server { listen 127.0.0.1:%%$_%% ssl; proxy_pass 127.0.0.1:%%rtmp%%;"
        . " ssl_certificate $dir/tls/$_.crt;"
        . " ssl_certificate_key $dir/tls/$_.key; }\n"
    } @certs)
    . "server { listen 127.0.0.1:%%text%%; return 'This is not TLS.'; }\n"
    . "server { listen 127.0.0.1:%%shut%%; return ''; }\n"
    . "server { listen 127.0.0.1:%%old%% ssl; proxy_pass 127.0.0.1:%%rtmp%%;"
    . " ssl_protocols TLSv1.1; ssl_certificate $dir/tls/good.crt;"
    . " ssl_certificate_key $dir/tls/good.key; }\n",
);

my %port = map { $_ => $server->port($_) }
    @certs, qw/ rtmps rtmp text shut old /;
my $source = $server->rtmp_url('in');
my $ca = "tls_ca=$dir/tls/ca.crt";
my $n = 0;

# host, port, what else

my %flows = (
    address  => ['127.0.0.1', $port{rtmps}, $ca],
    named    => ['localhost', $port{name}, $ca],
    waived   => ['127.0.0.1', $port{other}, 'tls_verify=off'],
    unnamed  => ['127.0.0.1', $port{name}, $ca],
    other    => ['localhost', $port{other}, $ca],
    expired  => ['127.0.0.1', $port{expired}, $ca],
    stranger => ['127.0.0.1', $port{rtmps}, "tls_ca=$dir/stranger/ca.crt"],
    system   => ['127.0.0.1', $port{rtmps}, ''],
    plain    => ['127.0.0.1', $port{rtmp}, $ca],
    text     => ['127.0.0.1', $port{text}, $ca],
    shut     => ['127.0.0.1', $port{shut}, $ca],
    old      => ['127.0.0.1', $port{old}, $ca],
);

my $t = MC->new(rtmp => '', main => 'mc_resolver 127.0.0.1:1;', flows =>
    join('', map {
        my ($host, $port, $more) = @{ $flows{$_} };

        "mc_flow $_ { mc_source udp://127.0.0.1:%%unused_$_%%;"
        . " mc_output o rtmps://$host:$port/live/$_ $more; }\n"
    } grep { $_ ne 'named' && $_ ne 'other' } sort keys %flows)
    . <<"END_FLOWS");
mc_flow main {
    mc_source $source;
    mc_output pushed rtmps://127.0.0.1:$port{rtmps}/live/pushed $ca;
}
mc_flow pull {
    mc_source rtmps://127.0.0.1:$port{rtmps}/live/in $ca;
    mc_output again rtmps://127.0.0.1:$port{other}/live/again tls_verify=off;
}
END_FLOWS

connected($t, 'main', 'pushed');
connected($t, 'address', 'o');
connected($t, 'waived', 'o');

my $file = sample($t, 'in.flv', seconds => 8, rate => '4000k');
my $publisher = publish($t, $source, $t->dir . "/$file");

connected($t, 'main');
connected($t, 'pull');

for ([unnamed => 'IP address mismatch'],
     [expired => 'certificate has expired'],
     [stranger => 'unable to get local issuer certificate|self.signed'],
     [system => 'unable to get local issuer certificate|self.signed'],
     [text => 'TLS handshake failed: (?:wrong version number|.*record)'],
     [shut => 'the server closed the connection|unexpected eof'],
     [old => 'TLS handshake failed: .*alert.*version'],
     [plain => 'TLS handshake'])
{
    my ($name, $why) = @$_;

    event($t, $name, 'tls_failed', 15, "$name: told");
    like($t->output($name, 'o')->{last_error}, qr/$why/, "$name: why");
    is($t->output($name, 'o')->{connections}, 0, "$name: never connected");
}

is($publisher->wait(40), 0, 'all was published');

# names: the system's table of hosts has this one

$t->write_conf(main => '', flows => join '', map {
    my ($host, $port, $more) = @{ $flows{$_} };

    "mc_flow $_ { mc_source udp://127.0.0.1:%%unused_$_%%;"
    . " mc_output o rtmps://$host:$port/live/$_ $more; }\n"
} qw/ named other /);
$t->reload;

connected($t, 'named', 'o');
event($t, 'other', 'tls_failed', 15, 'another name: told');
like($t->output('other', 'o')->{last_error}, qr/hostname mismatch/i,
     'another name: why');

$t->stop;

for (qw/ pushed again /) {
    same_media($t, $file, $server->recorded($t, $_), min => 100,
               name => "$_ over TLS");
}

$server->finish;
$t->finish;
done_testing();
