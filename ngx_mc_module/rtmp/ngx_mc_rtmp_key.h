
/*
 * Copyright (C) the ngx_mc_module authors
 */


#ifndef _NGX_MC_RTMP_KEY_H_INCLUDED_
#define _NGX_MC_RTMP_KEY_H_INCLUDED_


#include <ngx_mc_rtmp.h>
#include <openssl/sha.h>


/*
 * The key of a publisher, in the arguments of the name.  Digests are of
 * SHA256_DIGEST_LENGTH bytes.
 */

/* a "publish": before it is logged the key is masked, and kept as a digest */
void ngx_mc_rtmp_key_mask(ngx_rtmp_session_t *s, ngx_chain_t *in);

/* the digest from the message that is being handled, once; NGX_DECLINED: it
   has no key */
ngx_int_t ngx_mc_rtmp_key_take(ngx_rtmp_session_t *s, u_char *digest);

/* the session ends: another one may have its address */
void ngx_mc_rtmp_key_forget(ngx_rtmp_session_t *s);

/* the rest of the arguments is for others, on_publish for one */
void ngx_mc_rtmp_key_cut(u_char *args);

void ngx_mc_rtmp_key_hash(u_char *key, size_t len, u_char *digest);


#endif /* _NGX_MC_RTMP_KEY_H_INCLUDED_ */
