"""Chinese words for what a fashion catalogue's columns say, as title_zh has them; for fashion_qrels.py."""

from __future__ import annotations


def _table(text: str) -> dict[str, str]:
    pairs = (entry.split(" = ") for entry in text.replace("\n", " ").split(";"))
    return {value.strip(): word.strip() for value, word in pairs}


PEOPLE = {"men": "男", "women": "女", "boys": "男童", "girls": "女童"}

COLOURS = _table("""
Beige = 米色; Black = 黑色; Blue = 蓝色; Bronze = 古铜色; Brown = 棕色; Burgundy = 酒红色; Charcoal = 炭灰色;
Coffee Brown = 咖啡色; Copper = 铜色; Cream = 奶油色; Fluorescent Green = 荧光绿; Gold = 金色; Green = 绿色;
Grey = 灰色; Grey Melange = 麻灰色; Khaki = 卡其色; Lavender = 薰衣草紫; Lime Green = 柠檬绿; Magenta = 洋红色;
Maroon = 栗色; Mauve = 淡紫色; Metallic = 金属色; Multi = 多色; Mushroom Brown = 蘑菇棕; Mustard = 芥末黄;
Navy Blue = 藏青色; Nude = 裸色; Off White = 米白色; Olive = 橄榄绿; Orange = 橙色; Peach = 桃色; Pink = 粉色;
Purple = 紫色; Red = 红色; Rose = 玫瑰色; Rust = 铁锈色; Sea Green = 海绿色; Silver = 银色; Skin = 肤色;
Steel = 钢色; Tan = 棕褐色; Taupe = 灰褐色; Teal = 蓝绿色; Turquoise Blue = 绿松石蓝; White = 白色;
Yellow = 黄色
""")

ARTICLES = _table("""
Accessory Gift Set = 配饰礼盒; Baby Dolls = 娃娃裙睡衣; Backpacks = 双肩包; Bangle = 手镯; Basketballs = 篮球;
Bath Robe = 浴袍; Beauty Accessory = 美妆工具; Belts = 皮带; Body Lotion = 身体乳; Booties = 短靴;
Boxers = 四角裤; Bra = 文胸; Bracelet = 手链; Briefs = 内裤; Camisoles = 吊带背心; Capris = 七分裤; Caps = 帽子;
Casual Shoes = 休闲鞋; Churidar = 紧身裤; Clothing Set = 服装套装; Clutches = 手拿包; Compact = 粉饼;
Concealer = 遮瑕膏; Cufflinks = 袖扣; Cushion Covers = 抱枕套; Deodorant = 止汗香体剂; Dresses = 连衣裙;
Duffel Bag = 旅行包; Dupatta = 披纱; Earrings = 耳环; Eye Cream = 眼霜; Eyeshadow = 眼影;
Face Moisturisers = 面霜; Face Scrub and Exfoliator = 磨砂膏; Face Wash and Cleanser = 洗面奶;
Flats = 平底鞋; Flip Flops = 人字拖; Footballs = 足球; Formal Shoes = 正装皮鞋;
Foundation and Primer = 粉底液; Fragrance Gift Set = 香氛礼盒; Free Gifts = 赠品; Gloves = 手套;
Hair Accessory = 发饰; Hair Colour = 染发剂; Handbags = 手提包; Headband = 发带; Heels = 高跟鞋;
Highlighter and Blush = 高光腮红; Innerwear Vests = 打底背心; Jackets = 夹克; Jeans = 牛仔裤;
Jeggings = 牛仔打底裤; Jewellery Set = 首饰套装; Jumpsuit = 连体裤; Kajal and Eyeliner = 眼线笔;
Key chain = 钥匙扣; Kurta Sets = 库尔塔套装; Kurtas = 库尔塔长衫; Kurtis = 短款库尔塔; Laptop Bag = 电脑包;
Leggings = 打底裤; Lip Care = 润唇膏; Lip Gloss = 唇彩; Lip Liner = 唇线笔; Lip Plumper = 丰唇蜜;
Lipstick = 口红; Lounge Pants = 家居裤; Lounge Shorts = 家居短裤; Makeup Remover = 卸妆液; Mascara = 睫毛膏;
Mask and Peel = 面膜; Messenger Bag = 邮差包; Mobile Pouch = 手机袋; Mufflers = 围巾;
Nail Essentials = 美甲工具; Nail Polish = 指甲油; Necklace and Chains = 项链; Nehru Jackets = 立领马甲;
Night suits = 睡衣套装; Nightdress = 睡裙; Patiala = 灯笼裤; Pendant = 吊坠;
Perfume and Body Mist = 香水喷雾; Rain Jacket = 雨衣; Ring = 戒指; Robe = 睡袍; Rompers = 连身衣;
Rucksacks = 登山包; Salwar = 莎瓦裤; Salwar and Dupatta = 莎瓦披纱套装; Sandals = 凉鞋; Sarees = 纱丽;
Scarves = 丝巾; Shapewear = 塑身衣; Shirts = 衬衫; Shoe Accessories = 鞋类配件; Shorts = 短裤; Shrug = 披肩衫;
Skirts = 半身裙; Socks = 袜子; Sports Sandals = 运动凉鞋; Sports Shoes = 运动鞋; Stockings = 丝袜;
Stoles = 披肩; Sunglasses = 太阳镜; Sunscreen = 防晒霜; Suspenders = 背带; Sweaters = 毛衣;
Sweatshirts = 卫衣; Swimwear = 泳装; Tablet Sleeve = 平板保护套; Ties = 领带; Tights = 紧身裤袜; Toner = 爽肤水;
Tops = 上衣; Track Pants = 运动裤; Tracksuits = 运动套装; Travel Accessory = 旅行配件; Trousers = 长裤;
Trunk = 平角裤; Tshirts = T恤; Tunics = 长款上衣; Waist Pouch = 腰包; Waistcoat = 马甲; Wallets = 钱包;
Watches = 手表; Water Bottle = 水杯; Wristbands = 护腕
""")
