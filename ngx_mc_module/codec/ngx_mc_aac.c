
/*
 * Copyright (C) the ngx_mc_module authors
 */


#include <ngx_mc_codec.h>
#include <ngx_mc_bits.h>

#include <bitstream/mpeg/aac.h>


#define NGX_MC_AAC_FREQUENCIES     13
#define NGX_MC_AAC_FREQUENCY       15      /* written out, 24 bits */
#define NGX_MC_AAC_ESCAPE          31

/* ISO/IEC 14496-3, 1.6.5 and 1.6.6: SBR and PS told of behind the rest, so
   that those who do not know them do not see it */
#define NGX_MC_AAC_SYNC_SBR        0x2b7
#define NGX_MC_AAC_SYNC_PS         0x548

#define NGX_MC_ADTS_FRAME_MAX      8191

/* table 4.85: id_syn_ele of a program_config_element */
#define NGX_MC_AAC_ID_PCE          5


/* an AudioSpecificConfig */

typedef struct {
    ngx_uint_t        type;          /* of what is coded: SBR, PS aside */
    ngx_uint_t        extension;     /* ASC_TYPE_SBR, ASC_TYPE_PS, or 0 */
    uint32_t          rate;          /* likewise, Hz */
    uint32_t          extension_rate;
    ngx_uint_t        channel_config;
    ngx_uint_t        channels;
    ngx_uint_t        short_frames;  /* frameLengthFlag: 960 samples */
    ngx_mc_bits_t     program;       /* program_config_element(), with
                                        channel_config 0 */
    ngx_uint_t        program_bits;  /* of it, before byte_alignment() */
} ngx_mc_aac_config_t;


static ngx_int_t ngx_mc_aac_config(u_char *data, size_t len,
    ngx_mc_aac_config_t *cfg);
static ngx_uint_t ngx_mc_aac_type(ngx_mc_bits_t *b);
static uint32_t ngx_mc_aac_rate(ngx_mc_bits_t *b);
static void ngx_mc_aac_ga(ngx_mc_bits_t *b,
    ngx_mc_aac_config_t *cfg);
static void ngx_mc_aac_program(ngx_mc_bits_t *b,
    ngx_mc_aac_config_t *cfg);
static size_t ngx_mc_aac_program_write(u_char *buf,
    ngx_mc_aac_config_t *cfg);
static void ngx_mc_aac_sync(ngx_mc_bits_t *b, ngx_mc_aac_config_t *cfg);


/* table 1.18 */

static uint32_t  ngx_mc_aac_rates[NGX_MC_AAC_FREQUENCIES] = {
    96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000,
    11025, 8000, 7350
};


/* table 1.19: by channelConfiguration; 0: in a program_config_element, or
   reserved */

static uint8_t  ngx_mc_aac_channels[16] = {
    0, 1, 2, 3, 4, 5, 6, 8, 0, 0, 0, 7, 8, 24, 8, 0
};


ngx_int_t
ngx_mc_adts_read(u_char *data, size_t len, ngx_mc_adts_t *adts)
{
    ngx_uint_t     frequency;
    ngx_mc_adts_t  a;

    if (len < ADTS_HEADER_SIZE
        || data[0] != 0xff
        || (data[1] & 0xf6) != 0xf0)       /* syncword, layer */
    {
        return NGX_ERROR;
    }

    frequency = adts_get_sampling_freq(data);

    if (frequency >= NGX_MC_AAC_FREQUENCIES) {
        return NGX_ERROR;
    }

    a.size = adts_get_length(data);
    a.blocks = adts_get_num_blocks(data) + 1;
    a.object_type = adts_get_profile(data) + 1;
    a.frequency_index = frequency;
    a.channel_config = adts_get_channels(data);
    a.sample_rate = ngx_mc_aac_rates[frequency];
    a.header = ADTS_HEADER_SIZE;

    if (!adts_get_protection_absent(data)) {

        /* adts_header_error_check(): where the second block and those after
           it begin, then the check; one of each block follows it */

        a.header += ADTS_CRC_SIZE * a.blocks;
    }

    if (a.size < a.header) {
        return NGX_ERROR;
    }

    *adts = a;

    return NGX_OK;
}


ngx_int_t
ngx_mc_adts_write(u_char *buf, size_t *size, u_char *frame, size_t len,
    u_char *config, size_t config_len)
{
    size_t               n;
    ngx_uint_t           i;
    ngx_mc_aac_config_t  cfg;

    if (ngx_mc_aac_config(config, config_len, &cfg) != NGX_OK) {
        return NGX_ERROR;
    }

    if (cfg.type < ASC_TYPE_MAIN
        || cfg.type > ASC_TYPE_LTP
        || cfg.channel_config > 7
        || cfg.short_frames)
    {
        return NGX_DECLINED;
    }

    n = ADTS_HEADER_SIZE;

    if (cfg.channel_config == 0
        && (len == 0 || frame[0] >> 5 != NGX_MC_AAC_ID_PCE))
    {
        n += ngx_mc_aac_program_write(buf + n, &cfg);
    }

    if (len > NGX_MC_ADTS_FRAME_MAX - n) {
        return NGX_DECLINED;
    }

    for (i = 0; ngx_mc_aac_rates[i] != cfg.rate; i++) {
        if (i == NGX_MC_AAC_FREQUENCIES - 1) {
            return NGX_DECLINED;
        }
    }

    adts_set_sync(buf);

    buf[1] = 0xf1;          /* MPEG-4: only that has LTP, and PNS in LC */

    adts_set_profile(buf, cfg.type - 1);
    adts_set_sampling_freq(buf, i);
    adts_set_channels(buf, cfg.channel_config);
    adts_set_length(buf, n + len);
    adts_set_fullness(buf, 0x7ff);         /* variable rate */
    adts_set_num_blocks(buf, 0);

    *size = n;

    return NGX_OK;
}


/*
 * The element as the first one of a raw_data_block: byte_alignment() in it is
 * from the beginning of the block, thus what follows stays as it is.  Returns
 * the bytes.
 */

static size_t
ngx_mc_aac_program_write(u_char *buf, ngx_mc_aac_config_t *cfg)
{
    u_char         *p;
    uint32_t        byte;
    ngx_uint_t      left, take, have;
    ngx_mc_bits_t   b;

    b = cfg->program;
    left = cfg->program_bits;

    p = buf;
    byte = NGX_MC_AAC_ID_PCE;
    have = 3;

    while (left) {
        take = ngx_min(left, 8 - have);
        left -= take;

        byte = byte << take | ngx_mc_bits(&b, take);
        have += take;

        if (have == 8) {
            *p++ = byte;
            byte = 0;
            have = 0;
        }
    }

    if (have) {
        *p++ = byte << (8 - have);
    }

    *p++ = 0;                              /* comment_field_bytes */

    return p - buf;
}


ngx_int_t
ngx_mc_aac_config_read(u_char *data, size_t len, ngx_mc_track_info_t *info)
{
    ngx_mc_aac_config_t  cfg;

    if (ngx_mc_aac_config(data, len, &cfg) != NGX_OK) {
        return NGX_ERROR;
    }

    info->type = NGX_MC_TRACK_AUDIO;
    info->codec = NGX_MC_CODEC_AAC;
    info->level = 0;
    info->profile = cfg.extension ? cfg.extension : cfg.type;
    info->sample_rate = cfg.extension_rate ? cfg.extension_rate : cfg.rate;
    info->channels = cfg.channels;

    if (cfg.extension == ASC_TYPE_PS && cfg.channels == 1) {
        info->channels = 2;
    }

    return NGX_OK;
}


size_t
ngx_mc_aac_config_write(ngx_mc_adts_t *adts, u_char *buf)
{
    if (adts->channel_config == 0) {

        /* a program_config_element had to follow, which is in the frames */

        return 0;
    }

    buf[0] = adts->object_type << 3 | adts->frequency_index >> 1;
    buf[1] = (adts->frequency_index & 1) << 7 | adts->channel_config << 3;

    return 2;
}


/* 1.6.2.1 */

static ngx_int_t
ngx_mc_aac_config(u_char *data, size_t len, ngx_mc_aac_config_t *cfg)
{
    ngx_mc_bits_t  b;

    ngx_memzero(cfg, sizeof(ngx_mc_aac_config_t));

    ngx_mc_bits_init(&b, data, len, 0);

    cfg->type = ngx_mc_aac_type(&b);
    cfg->rate = ngx_mc_aac_rate(&b);
    cfg->channel_config = ngx_mc_bits(&b, 4);
    cfg->channels = ngx_mc_aac_channels[cfg->channel_config];

    if (cfg->type == ASC_TYPE_SBR || cfg->type == ASC_TYPE_PS) {
        cfg->extension = cfg->type;
        cfg->extension_rate = ngx_mc_aac_rate(&b);
        cfg->type = ngx_mc_aac_type(&b);

        if (cfg->type == ASC_TYPE_ER_BSAC) {
            ngx_mc_bits_skip(&b, 4);       /* extensionChannelConfiguration */
        }

        if (cfg->extension_rate == 0) {
            return NGX_ERROR;
        }
    }

    if (b.error || cfg->type == 0 || cfg->rate == 0) {
        return NGX_ERROR;
    }

    switch (cfg->type) {

    case ASC_TYPE_MAIN:
    case ASC_TYPE_LC:
    case ASC_TYPE_SSR:
    case ASC_TYPE_LTP:
        ngx_mc_aac_ga(&b, cfg);
        break;

    default:

        /* those have more to say, which nobody here needs */

        return NGX_OK;
    }

    if (b.error) {
        return NGX_ERROR;
    }

    if (cfg->extension == 0) {
        ngx_mc_aac_sync(&b, cfg);
    }

    return NGX_OK;
}


static ngx_uint_t
ngx_mc_aac_type(ngx_mc_bits_t *b)
{
    ngx_uint_t  type;

    type = ngx_mc_bits(b, 5);

    return (type == NGX_MC_AAC_ESCAPE) ? 32 + ngx_mc_bits(b, 6) : type;
}


/* Hz, 0: a reserved index */

static uint32_t
ngx_mc_aac_rate(ngx_mc_bits_t *b)
{
    ngx_uint_t  i;

    i = ngx_mc_bits(b, 4);

    if (i == NGX_MC_AAC_FREQUENCY) {
        return ngx_mc_bits(b, 24);
    }

    return (i < NGX_MC_AAC_FREQUENCIES) ? ngx_mc_aac_rates[i] : 0;
}


/* GASpecificConfig: 4.4.1 */

static void
ngx_mc_aac_ga(ngx_mc_bits_t *b, ngx_mc_aac_config_t *cfg)
{
    cfg->short_frames = ngx_mc_bits(b, 1);

    if (ngx_mc_bits(b, 1)) {               /* dependsOnCoreCoder */
        ngx_mc_bits_skip(b, 14);
    }

    ngx_mc_bits_skip(b, 1);                /* extensionFlag: of the types
                                              that are here it has nothing */

    if (cfg->channel_config == 0) {
        ngx_mc_aac_program(b, cfg);
    }
}


/* program_config_element: 4.4.1.1 */

static void
ngx_mc_aac_program(ngx_mc_bits_t *b, ngx_mc_aac_config_t *cfg)
{
    u_char      *p;
    ngx_uint_t   n, i, pairs, lfe, assoc, coupling, channels, left;

    p = b->pos;
    left = b->left;
    cfg->program = *b;

    ngx_mc_bits_skip(b, 10);               /* up to sampling_frequency_index */

    n = ngx_mc_bits(b, 4);                 /* front */
    n += ngx_mc_bits(b, 4);                /* side */
    n += ngx_mc_bits(b, 4);                /* back */
    lfe = ngx_mc_bits(b, 2);
    assoc = ngx_mc_bits(b, 3);
    coupling = ngx_mc_bits(b, 4);

    for (i = 0; i < 2; i++) {              /* mono, stereo mixdown */
        if (ngx_mc_bits(b, 1)) {
            ngx_mc_bits_skip(b, 4);
        }
    }

    if (ngx_mc_bits(b, 1)) {               /* matrix_mixdown */
        ngx_mc_bits_skip(b, 3);
    }

    channels = n + lfe;

    for (i = 0; i < n; i++) {
        pairs = ngx_mc_bits(b, 1);
        channels += pairs;
        ngx_mc_bits_skip(b, 4);
    }

    ngx_mc_bits_skip(b, 4 * lfe + 4 * assoc + 5 * coupling);

    cfg->program_bits = (b->pos - p) * 8 + left - b->left;
    cfg->channels = channels;

    /* byte_alignment() is from the beginning of the configuration */

    ngx_mc_bits_skip(b, b->left);
    ngx_mc_bits_skip(b, 8 * ngx_mc_bits(b, 8));       /* comment */
}


static void
ngx_mc_aac_sync(ngx_mc_bits_t *b, ngx_mc_aac_config_t *cfg)
{
    uint32_t  rate;

    if (ngx_mc_bits(b, 11) != NGX_MC_AAC_SYNC_SBR
        || ngx_mc_aac_type(b) != ASC_TYPE_SBR
        || !ngx_mc_bits(b, 1))
    {
        return;
    }

    rate = ngx_mc_aac_rate(b);

    if (b->error || rate == 0) {
        return;
    }

    cfg->extension = ASC_TYPE_SBR;
    cfg->extension_rate = rate;

    if (ngx_mc_bits(b, 11) == NGX_MC_AAC_SYNC_PS && ngx_mc_bits(b, 1)) {
        cfg->extension = ASC_TYPE_PS;
    }
}
