#!/usr/bin/perl

# Mistakes that nginx -t finds: it says no, where, and what to write instead,
# and shows no secret.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;

my $t = MC->new(start => 0, http => 0, files => {
    'keys/short'   => "tooshort1\n",
    'keys/long'    => 'x' x 80 . "\n",
    'keys/empty'   => '',
    'keys/stream'  => "s3cret s3cret\n",
    'keys/text'    => "s3cret\n",
    'keys/bad.pem' => "-----BEGIN CERTIFICATE-----\ns3cret\n",
    'keys/big.pem' => 's3cret' x 11000,
});

my $rtmp = 'server { listen 127.0.0.1:%%rtmp%%;
            application live { live on; }
            application mute { } }';
my @args;

my $ok = 'mc_output o udp://127.0.0.1:5000;';
my $src = 'mc_source srt://:9000;';

# what stands in the last line of each is wrong, or in the one with "HERE"

sub refused {
    my ($name, $flows, @remedies) = @_;

    local $Test::Builder::Level = $Test::Builder::Level + 1;

    $flows =~ s/ *\n */\n/g;

    my ($exit, $out) = $t->test_conf($flows, @args);
    my @lines = split /\n/, $t->read_file('test.conf');
    my ($line) = grep { $lines[$_ - 1] =~ /# HERE/ } 1 .. @lines;

    my @why;

    push @why, 'accepted' unless $exit;
    push @why, "not at line $line"
        unless $out =~ m{\Q$t->{dir}/test.conf:$line\E\b};
    push @why, 'no [emerg]' unless $out =~ /\[emerg\]/;
    push @why, "does not say $_" for grep { $out !~ $_ } @remedies;
    push @why, 'shows a secret' if $out =~ /s3cret/i;

    ok(!@why, $name) or diag(join("\n", @why, $flows, $out));
}

sub source { return "mc_flow f {\nmc_source $_[0]; # HERE\n$ok\n}" }
sub output { return "mc_flow f {\n$src\nmc_output o $_[0]; # HERE\n}" }
sub flow   { return "mc_flow f { # HERE\n$_[0]\n}" }


# flows

refused('no source', flow($ok), qr/mc_source/);
refused('a bad name', "mc_flow a/b { # HERE\n$src $ok\n}", qr/letters/);
refused('a name of dots', "mc_flow .. { # HERE\n$src $ok\n}", qr/name/);
refused('a long name', 'mc_flow ' . 'x' x 65 . " { # HERE\n$src $ok\n}",
        qr/64/);
refused('a flow twice', "mc_flow a {\n$src $ok\n}\n"
        . "mc_flow a { # HERE\nmc_source srt://:9001; $ok\n}",
        qr/"a"/, qr/test\.conf:\d+.*test\.conf:\d+/s);
refused('a title twice', "mc_flow a {\n$src $ok\nmc_title a;\n"
        . "mc_title b; # HERE\n}", qr/duplicate/);
refused('a long title', "mc_flow a {\n$src $ok\nmc_title "
        . 'x' x 256 . "; # HERE\n}", qr/255/);
refused('a state', "mc_flow a {\n$src $ok\nmc_state maybe; # HERE\n}",
        qr/"on"/, qr/"off"/);
refused('two primary sources', "mc_flow a {\n$src $ok\n"
        . "mc_source srt://:9001; # HERE\n}", qr/backup/);
refused('two backup sources', "mc_flow a {\n$src $ok\n"
        . "mc_source srt://:9001 backup;\n"
        . "mc_source srt://:9002 backup; # HERE\n}", qr/backup/);
refused('a backup source alone', "mc_flow a {\n$ok\n"
        . "mc_source srt://:9001 backup; # HERE\n}", qr/primary/);
refused('backup twice', source('srt://:9000 backup backup'),
        qr/duplicate "backup"/);
refused('an output twice', "mc_flow a {\n$src $ok\n"
        . "mc_output o udp://127.0.0.1:5002; # HERE\n}", qr/another name/);
refused('a backup destination without a primary', "mc_flow a {\n$src\n"
        . "mc_source srt://:9001 backup;\n"
        . "mc_output o udp://127.0.0.1:5000 backup; # HERE\n}",
        qr/primary/);
refused('a backup destination without a backup source', "mc_flow a {\n$src\n"
        . "$ok\nmc_output o udp://127.0.0.1:5001 backup; # HERE\n}",
        qr/mc_source/, qr/backup/);
refused('destinations of two protocols', "mc_flow a {\n$src\n"
        . "mc_source srt://:9001 backup;\n$ok\n"
        . "mc_output o rtp://127.0.0.1:5001 backup; # HERE\n}", qr/udp/);
refused('an output without a name', output('') =~ s/ o ;/ srt:\/\/:1;/r,
        qr/mc_output/);
refused('a bad output name',
        "mc_flow f {\n$src\nmc_output a/b udp://127.0.0.1:5000; # HERE\n}",
        qr/letters/);
refused('a bad source name', source('srt://:9000 name=a/b'), qr/name/);


# URLs

refused('a scheme', source('http://:9000'), qr/srt/);
refused('no scheme', source('127.0.0.1:9000'), qr/srt:/);
refused('no port', source('srt://127.0.0.1'), qr/port/);
refused('port 0', source('srt://:0'), qr/port/);
refused('port 65536', source('srt://:65536'), qr/port/);
refused('a port of letters', source('srt://:abc'), qr/port/);
refused('open brackets', source('srt://[::1:9000'), qr/./);
refused('IPv6 without brackets', source('srt://::1:9000'), qr/\[/);
refused('a path', source('srt://:9000/live'), qr/./);
refused('an escape', source('srt://:9000?streamid=%zz'), qr/./);
refused('an output to nowhere', output('udp://:5000'), qr/host/);
refused('an RTP source of a name', source('rtp://host.example:5004'),
        qr/address/);
refused('SRT to a group', output('srt://239.1.1.1:9000'), qr/rtp|udp/);


# parameters: the name, never the value

refused('an unknown parameter', source('srt://:9000 latnecy=s3cret'),
        qr/"latnecy"/, qr/latency/);
refused('an unknown parameter in the query',
        source('srt://:9000?pasphrase=s3cret-s3cret'),
        qr/"pasphrase"/, qr/"passphrase"/);
refused('an unknown word', source('srt://:9000 bakcup'), qr/"backup"/, qr/"off"/);
refused("another protocol's", source('rtp://:5004 latency=100'),
        qr/latency/, qr/srt/i);
refused("another direction's", output('udp://127.0.0.1:5000 timeout=1s'),
        qr/timeout/);
refused('a parameter twice', source('srt://:9000 latency=1 latency=2'),
        qr/latency/);
refused('in the query and after it', source('srt://:9000?latency=1 latency=1'),
        qr/latency/);
refused('two secrets', source('srt://:9000 passphrase=s3crets3cret'
                              . ' passphrase_file=keys/short'), qr/passphrase/);
refused('no value', source('srt://:9000 latency'), qr/latency/);
refused('an empty value', source('srt://:9000 streamid='), qr/streamid/);
refused('a time', source('srt://:9000 latency=fast'), qr/latency/);
refused('a negative time', source('srt://:9000 latency=-1'), qr/latency/);
refused("FFmpeg's microseconds", source('srt://:9000 latency=120000'),
        qr/FFmpeg/, qr/microseconds/);
refused('a long time', source('srt://:9000 latency=2m'), qr/latency/);
refused('a short passphrase', source('srt://:9000 passphrase=s3crets3c'),
        qr/10/, qr/79/);
refused('a long passphrase',
        source('srt://:9000 passphrase=' . 's3cret' x 13 . 'ab'),
        qr/10/, qr/79/);
refused('a short passphrase in a file',
        source('srt://:9000 passphrase_file=keys/short'), qr/10/, qr/79/);
refused('a long passphrase in a file',
        source('srt://:9000 passphrase_file=keys/long'), qr/10/, qr/79/);
refused('an empty file', source('srt://:9000 passphrase_file=keys/empty'),
        qr/passphrase_file/);
refused('a file that is not there',
        source('srt://:9000 passphrase_file=keys/none'), qr/passphrase_file/, qr/No such file/);
refused('a key length', source('srt://:9000 passphrase=s3crets3cret'
                               . ' pbkeylen=20'), qr/16/, qr/24/, qr/32/);
refused('a key length in bits', source('srt://:9000 passphrase=s3crets3cret'
                                       . ' pbkeylen=256'), qr/pbkeylen/);
refused('a key without a passphrase', source('srt://:9000 pbkeylen=16'),
        qr/passphrase/);
refused('a mode', source('srt://:9000 mode=push'), qr/caller/, qr/listener/);
refused('a caller without a host', source('srt://:9000 mode=caller'),
        qr/HOST|host/);
refused('a listener on a name', source('srt://host.example:1 mode=listener'),
        qr/address/);
refused('an adapter for a listener', source('srt://:9000 adapter=127.0.0.1'),
        qr/URL/);
refused('allow for a caller', source('srt://127.0.0.1:9000 allow=127.0.0.1'),
        qr/listen/);
refused('max_peers of a caller', output('srt://127.0.0.1:9000 max_peers=2'),
        qr/listen/);
refused('max_peers of a source', source('srt://:9000 max_peers=2'),
        qr/max_peers/);
refused('more min_peers than max_peers',
        output('srt://:9001 allow=all max_peers=1 min_peers=2'),
        qr/min_peers/);
refused('a bad CIDR', source('srt://:9000 allow=10.0.0.0/33'), qr/allow/);
refused('a bad address', source('srt://:9000 allow=10.0.0'), qr/allow/);
refused('a payload size', source('srt://:9000 payloadsize=2000'),
        qr/payloadsize/, qr/1456/);
refused('a packet filter', source('srt://:9000 packetfilter=xor'),
        qr/fec/);
refused('a malformed streamid', source('srt://:9000 streamid=#!::r'),
        qr/streamid/);
refused('an output to publish to',
        output('srt://:9001 allow=all streamid=#!::r=a,m=publish'),
        qr/m=request/);
refused('pkt_size', output('udp://127.0.0.1:5000 pkt_size=1000'), qr/188/);
refused('a payload type', output('rtp://127.0.0.1:5000 pt=128'), qr/pt/);
refused('interface without a group', output('udp://127.0.0.1:1 interface=lo'),
        qr/multicast/);
refused('source= without a group', source('udp://:5000 source=10.0.0.1'),
        qr/allow/);
refused('source= of the other family',
        source('udp://239.0.0.1:5000 source=::1'), qr/IPv4/);
refused('rtp=keep from SRT', output('rtp://127.0.0.1:5000 rtp=keep'),
        qr/rtp=new/);
refused('ttl=0', output('udp://127.0.0.1:5000 ttl=0'), qr/multicast/);


# ports

refused('two flows on one port', <<"END", qr/9000/, qr/streamid/);
mc_flow a {
mc_source srt://:9000;
mc_output o udp://127.0.0.1:5000;
}
mc_flow b {
mc_source srt://:9000; # HERE
mc_output o udp://127.0.0.1:5001;
}
END

refused('one of them without a streamid', <<"END", qr/9000/, qr/streamid/);
mc_flow a {
mc_source srt://:9000 streamid=a;
mc_output o udp://127.0.0.1:5000;
}
mc_flow b {
mc_source srt://:9000; # HERE
mc_output o udp://127.0.0.1:5001;
}
END

refused('the same streamid', <<"END", qr/9000/, qr/streamid/);
mc_flow a {
mc_source srt://:9000 streamid=x;
mc_output o udp://127.0.0.1:5000;
}
mc_flow b {
mc_source srt://:9000 streamid=#!::r=x; # HERE
mc_output o udp://127.0.0.1:5001;
}
END

refused('a wildcard and an address', <<"END", qr/9000/);
mc_flow a {
mc_source srt://:9000 streamid=a;
mc_output o udp://127.0.0.1:5000;
}
mc_flow b {
mc_source srt://127.0.0.1:9000 mode=listener streamid=b; # HERE
mc_output o udp://127.0.0.1:5001;
}
END

refused('two protocols', <<"END", qr/9000/);
mc_flow a {
mc_source srt://:9000;
mc_output o udp://127.0.0.1:5000;
}
mc_flow b {
mc_source rtp://:9000; # HERE
mc_output o udp://127.0.0.1:5001;
}
END

refused('source and output of one flow', <<"END", qr/9000/, qr/streamid/);
mc_flow a {
mc_source srt://:9000;
mc_output o srt://:9000 allow=all; # HERE
}
END

refused('a port for the superuser', source('srt://:514'), qr/514/, qr/1024/)
    if $> == 0 && $t->read_file('/proc/sys/net/ipv4/'
                                . 'ip_unprivileged_port_start') == 1024;


# RTMP: a module of its own

refused('RTMP without its module', source('rtmp:///live/s3cret key=s3cret'),
        qr/load_module modules\/ngx_mc_rtmp_module\.so/);
refused('pushing without its module',
        output('rtmps://h.example/live?s3cret key=s3cret'),
        qr/load_module modules\/ngx_mc_rtmp_module\.so/);

@args = (rtmp => $rtmp);

refused('RTMPS that listens', source('rtmps:///live/s3cret'),
        qr/stream module/, qr/"rtmp:\/\/\/APP\/NAME"/);
refused('RTMP over HTTP', source('rtmpt://h.example/live/s3cret'),
        qr/"rtmpt"/, qr/"rtmp"/, qr/"rtmps"/);
refused('no name', source('rtmp:///s3cret'), qr/rtmp:\/\/\/APP\/NAME/);
refused('too long a path', output('rtmp:///live/s3cret/a allow=all'),
        qr/rtmp:\/\/\/APP\/NAME/);
refused('a query of one who listens', source('rtmp:///live/a?key=s3cret'),
        qr/query/, qr/"key"/);
refused('a port of one who listens', source('rtmp://:1935/live/s3cret'),
        qr/rtmp:\/\/\/APP\/NAME/, qr/"rtmp" block/);
refused('a server without a name', output('rtmp://h.example/s3cret'),
        qr/HOST\/APP\/NAME/, qr/"key_file"/);
refused('a server without an application',
        output('rtmp://h.example/?s3cret key=s3cret'), qr/HOST\/APP/);
refused('a user and a password', output('rtmp://u:s3cret@h.example/a/b'),
        qr/user name/, qr/"key"/);
refused('a space in the path', output('"rtmp://h.example/a/s3cret b"'),
        qr/space/);
refused('two keys', output('rtmp://h/live key=s3cret key_file=keys/text'),
        qr/"key" and "key_file"/);
refused('a key with spaces', output('rtmp://h/live key_file=keys/stream'),
        qr/"key"/, qr/space/);
refused('an empty key', output('rtmp://h/live key_file=keys/empty'),
        qr/key_file/, qr/1 to 255/);
refused('a key that no publisher can send',
        source('rtmp:///live/a key=s3cret&s3cret'), qr/"&"/);
refused('a key too long for nginx-rtmp',
        source('rtmp:///live/s3cret key=' . 's3cret' x 42), qr/255/);
refused('a key for players', output('rtmp:///live/a key=s3cret'),
        qr/"allow"/);
refused('allow for those who connect',
        output('rtmp://h.example/live/s3cret allow=::1'), qr/listen/);
refused('tls_verify without TLS',
        output('rtmp://h.example/live/s3cret tls_verify=off'), qr/rtmps:/);
refused('certificates that are not verified',
        output('rtmps://h.example/live/s3cret tls_ca=' . ca()
               . ' tls_verify=off'), qr/"tls_ca"/);
refused('no certificates', output('rtmps://h/a/s3cret tls_ca=keys/text'),
        qr/no certificate/, qr/PEM/);
refused('a malformed certificate',
        output('rtmps://h/a/s3cret tls_ca=keys/bad.pem'), qr/malformed/);
refused('too many certificates',
        output('rtmps://h/a/s3cret tls_ca=keys/big.pem'), qr/64k/);
refused('a PID', output('rtmp://h/a/s3cret video=8191'), qr/8190/);
refused('a language', output('rtmp://h/a/s3cret audio=english'),
        qr/PID/, qr/"eng"/);
refused('players of an application without live',
        output('rtmp:///mute/s3cret'), qr/"live on;"/, qr/application mute/);
refused('a key in the path, too', output('rtmp://h/a/s3cret key=s3cret'),
        qr/path ends with the key/);
refused('two rates', source('rtmp:///live/a muxrate=5m maxrate=5m'),
        qr/"muxrate" and "maxrate"/);
refused('a low rate', source('rtmp:///live/a muxrate=99k'), qr/100k/);
refused('a passphrase of RTMP', source('rtmp:///live/a passphrase=s3crets3cret'),
        qr/"key"/);
refused('a latency of RTMP', source('rtmp:///live/a latency=1s'), qr/TCP/);
refused('a mode of RTMP', source('rtmp:///live/a mode=listener'),
        qr/rtmp:\/\/\/APP\/NAME/);
refused('rtp=keep from RTMP', <<'END', qr/rtp=new/);
mc_flow a {
mc_source rtmp:///live/a;
mc_output o rtp://127.0.0.1:5000 rtp=keep; # HERE
}
END

refused('one stream of two flows', <<'END', qr/"live"/, qr/"a".*test\.conf:\d+/);
mc_flow a {
mc_source rtmp:///live/s3cret;
mc_output o udp://127.0.0.1:5000;
}
mc_flow b {
mc_source srt://:9000;
mc_output o rtmp:///live/s3cret allow=::1; # HERE
}
END

refused('one stream of primary and backup', <<'END', qr/another name/);
mc_flow a {
mc_source rtmp:///live/s3cret;
mc_source rtmp:///live/s3cret backup; # HERE
mc_output o udp://127.0.0.1:5000;
}
END

refused('a backup of another protocol', <<'END', qr/"rtmp:/);
mc_flow a {
mc_source srt://:9000;
mc_source srt://:9001 backup;
mc_output o rtmps://h.example/live/s3cret;
mc_output o srt://h.example:9000 backup; # HERE
}
END

@args = ();

sub ca {
    my $file = "$t->{dir}/keys/ca";

    system('openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256'
           . " -nodes -subj /CN=ca.example -keyout $file.key -out $file.pem"
           . " 2>$file.log") == 0
        or die 'openssl: ' . $t->read_file('keys/ca.log');

    return 'keys/ca.pem';
}


# main

refused('a time without a unit', "mc_latency 120; # HERE", qr/120ms/);
refused('a batch', "mc_batch 30ms; # HERE", qr/20/);
refused('a rate', "mc_max_bandwidth 20mb; # HERE", qr/20m/);
refused('a rate of 0', "mc_max_bandwidth 0; # HERE", qr/mc_max_bandwidth|rate/);
refused('a policy', "mc_max_bandwidth 20m exceed=shape; # HERE",
        qr/drop/, qr/alarm/, qr/disconnect/);
refused('a directive twice', "mc_latency 1s;\nmc_latency 1s; # HERE",
        qr/duplicate/);
refused('an allowlist', "mc_allow 10.0.0.0/40; # HERE", qr/10\.0\.0\.0/);
refused('all and some', "mc_allow all 10.0.0.0/8; # HERE", qr/all/);
refused('a resolver', "mc_resolver 127.0.0.1:x; # HERE", qr/resolver/);
refused('a zone size', "mc_zone_size big; # HERE", qr/64m/);
refused('a small zone', "mc_zone_size 4k; # HERE", qr/1m/);
refused('mc_source in main', "mc_source srt://:9000; # HERE",
        qr/mc_source/);
refused('mc_state in main', "mc_state on; # HERE", qr/mc_state/);


# limits that follow from the number of flows

my $many = join '', map {
    "mc_flow f$_ { mc_source udp://127.0.0.1:" . (2000 + $_)
    . "; mc_output o udp://127.0.0.2:5000; }\n"
} 1 .. 1200;

my ($exit, $out) = $t->test_conf("mc_zone_size 1m;\n$many");
isnt($exit, 0, 'a zone too small for the flows');
like($out, qr/mc_zone_size \d+m/, 'says what it must be');

my ($size) = $out =~ /mc_zone_size (\d+m)/;

($exit, $out) = $t->test_conf("mc_zone_size $size;\n$many");
isnt($exit, 0, 'too few connections for the flows');
unlike($out, qr/mc_zone_size/, 'the zone is now large enough');
like($out, qr/worker_connections \d+/, 'says how many it must be');

my ($connections) = $out =~ /worker_connections (\d+)/;

($exit, $out) = $t->test_conf("mc_zone_size $size;\n$many", conf => <<"END");
%%GLOBALS%%
events { worker_connections $connections; }
mc_zone_size $size;
$many
END
is($exit, 0, 'and then it is accepted') or diag($out);

$t->finish;
done_testing();
