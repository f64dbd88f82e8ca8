#!/usr/bin/perl

# Keys, names and queries of RTMP: neither the status nor a log nor an event
# shows them, also not when a reload changes them.

use strict;
use warnings;

use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use MC;

my $t = MC->new(start => 0, log => 'info', files => {
    'keys/a' => "s3cret-a\n", 'keys/b' => "s3cret-b\n",
}, rtmp => 'server { listen 127.0.0.1:%%rtmp%%;
            application live { live on; } }');

sub conf {
    my ($n, $file) = @_;

    return "mc_event_log %%DIR%%/events.json;
mc_flow f {
    mc_source  rtmp:///live/s3cret  key=s3cret$n;
    mc_source  rtmp://127.0.0.1:%%none%%/live/s3cret?s3cret$n  backup;
    mc_output  o  rtmps://127.0.0.1:%%none%%/app?s3cret$n  key_file=keys/$file;
    mc_output  p  rtmp:///live/s3cret-p$n  allow=127.0.0.1;
}\n";
}

my $shown = '';

sub look {
    my $body = $t->get('')->{content};

    like($body, qr{"rtmp:///live"}, 'the status shows an application');
    like($body, qr{"rtmps://127\.0\.0\.1:\d+/app"}, 'and a server');
    $shown .= $body;
}

$t->{flows} = conf(1, 'a');
$t->start;
look();

$t->{flows} = conf(2, 'b');
$t->reload;
look();

$t->wait_log(qr/config_changed: changed[^\n]*: [^\n]*key/, 5);

my $log = $t->log;

my @lines = grep { /s3cret/i } split /\n/, $log;
is("@lines", '', 'the error log has none');

$shown .= $t->read_file('events.json');
$shown .= $t->get('/flows/f/events')->{content};

unlike($shown, qr/s3cret/i, 'nor have status and events');
like($shown, qr/config_changed/, 'where the change is told');

$t->finish;
done_testing();
