"""Wordings of what a grocery sells, for made_topics.py: values of a column, and English and Chinese names of them."""

from __future__ import annotations

Wordings = dict[tuple[str, ...], tuple[str, str]]
"""Values of a column -> English and Chinese wordings, separated by |."""

FOODS: Wordings = {
    ("Apple",): ("apples|eating apples", "苹果"),
    ("Pear",): ("pears", "梨"),
    ("Melon",): ("melons|melon", "瓜|甜瓜"),
    ("Banana",): ("bananas", "香蕉"),
    ("Lemon",): ("lemons", "柠檬"),
    ("Lime",): ("limes", "青柠|青柠檬"),
    ("Orange",): ("oranges", "橙子"),
    ("Satsumas",): ("mandarins|clementines|satsumas", "蜜橘|橘子"),
    ("Red Grapefruit",): ("grapefruits|pink grapefruit", "西柚|葡萄柚"),
    ("Peach", "Nectarine"): ("peaches and nectarines|peaches", "桃子|桃子和油桃"),
    ("Plum",): ("plums", "李子"),
    ("Avocado",): ("avocados", "牛油果"),
    ("Kiwi",): ("kiwis|kiwi fruit", "猕猴桃|奇异果"),
    ("Mango",): ("mangoes", "芒果"),
    ("Papaya",): ("papayas", "木瓜"),
    ("Passion Fruit",): ("passion fruits|maracuja", "百香果"),
    ("Pineapple",): ("pineapples|ananas", "菠萝|凤梨"),
    ("Pomegranate",): ("pomegranates", "石榴"),
    ("Tomato",): ("tomatoes", "番茄|西红柿"),
    ("Pepper",): ("peppers|bell peppers|capsicum", "甜椒|彩椒"),
    ("Potato",): ("potatoes", "土豆|马铃薯"),
    ("Carrots",): ("carrots", "胡萝卜"),
    ("Onion",): ("onions", "洋葱"),
    ("Garlic",): ("garlic|garlic bulbs", "大蒜"),
    ("Leek",): ("leeks", "韭葱|大葱"),
    ("Ginger",): ("ginger|ginger root", "生姜|姜"),
    ("Cabbage",): ("cabbage|white cabbage", "卷心菜|圆白菜"),
    ("Cucumber",): ("cucumbers", "黄瓜"),
    ("Zucchini",): ("zucchini|courgettes", "西葫芦"),
    ("Aubergine",): ("aubergines|eggplants", "茄子"),
    ("Asparagus",): ("asparagus", "芦笋"),
    ("Mushroom",): ("mushrooms|champignons", "蘑菇"),
    ("Red Beet",): ("beetroot|beets", "甜菜|甜菜根"),
    ("Juice",): ("juice|fruit juices|cartons of juice", "果汁"),
    ("Milk",): ("milk|dairy milk", "牛奶|鲜奶"),
    ("Soy Milk", "Oat Milk"): ("vegan milk|soy and oat milk", "植物奶|豆奶"),
    ("Sour Cream",): ("sour cream|creme fraiche", "酸奶油"),
    ("Sour Milk",): ("sour milk|buttermilk", "酸牛奶"),
    ("Yoghurt",): ("yoghurt|yogurt", "酸奶"),
    ("Soyghurt", "Oatghurt"): ("vegan yoghurt|plant-based yogurt", "植物酸奶"),
}
FOOD_GROUPS: Wordings = {
    ("Orange", "Lemon", "Lime", "Red Grapefruit", "Satsumas"): ("citrus|sour citrus fruit", "柑橘"),
    ("Milk", "Sour Milk", "Sour Cream", "Yoghurt"): ("dairy products|dairy", "乳制品|奶制品"),
    ("Soy Milk", "Oat Milk", "Soyghurt", "Oatghurt"): ("vegan dairy alternatives|dairy free", "素食奶制品"),
    ("Juice", "Milk", "Soy Milk", "Oat Milk"): ("drinks|beverages", "饮料"),
    ("Mango", "Papaya", "Passion Fruit", "Pineapple"): ("exotic fruit|fruit from the tropics", "异国水果|热带鲜果"),
    ("Onion", "Garlic", "Leek"): ("onions, garlic and leeks|alliums", "葱蒜类"),
    ("Cabbage", "Leek", "Asparagus", "Cucumber", "Zucchini"): ("green vegetables|greens", "绿色蔬菜"),
    ("Carrots", "Red Beet", "Potato"): ("root crops|vegetables from the soil", "根菜"),
    ("Peach", "Nectarine", "Plum"): ("fruit with a stone|drupes", "有核水果"),
    ("Apple", "Pear"): ("orchard fruit|pome fruit", "果园水果"),
}
_APPLES, _GREEN = ("Granny Smith", "Golden Delicious", "Pink Lady", "Red Delicious", "Royal Gala"), ("Granny Smith",)
ARTICLES: Wordings = {
    _GREEN: ("green apples|granny smith apples|sour apples", "青苹果"),
    ("Golden Delicious",): ("yellow apples|golden delicious apples", "黄苹果"),
    ("Pink Lady", "Royal Gala"): ("pink lady and royal gala apples", "粉红苹果"),
    ("Watermelon",): ("watermelons", "西瓜"),
    ("Cantaloupe", "Galia Melon", "Honeydew Melon"): ("sweet melons|honey melons", "哈密瓜|蜜瓜"),
    ("Conference", "Anjou", "Kaiser"): ("green pears|pears", "青梨"),
    ("Red Bell Pepper",): ("red peppers|red bell peppers", "红甜椒|红色彩椒"),
    ("Green Bell Pepper",): ("green peppers", "青椒|绿色彩椒"),
    ("Yellow Bell Pepper", "Orange Bell Pepper"): ("yellow and orange peppers", "黄色和橙色彩椒"),
    ("Vine Tomato",): ("tomatoes on the vine", "串番茄"),
    ("Beef Tomato", "Regular Tomato"): ("large tomatoes|round tomatoes", "大番茄"),
    ("Sweet Potato",): ("sweet potatoes|yams", "红薯|地瓜"),
    ("Solid Potato", "Floury Potato"): ("boiling potatoes|potatoes for mash", "普通土豆"),
    ("Bravo Apple Juice", "God Morgon Apple Juice", "Tropicana Apple Juice"): ("apple juice", "苹果汁"),
    ("God Morgon Red Grapefruit Juice", "Tropicana Golden Grapefruit", "God Morgon Orange Red Grapefruit Juice"): (
        *("grapefruit juice", "西柚汁|葡萄柚汁"),
    ),
    ("Tropicana Apple Juice", "Tropicana Golden Grapefruit", "Tropicana Juice Smooth", "Tropicana Mandarin Morning"): (
        *("Tropicana|Tropicana juice", "Tropicana 果汁"),
    ),
    (
        *("God Morgon Apple Juice", "God Morgon Orange Juice", "God Morgon Orange Red Grapefruit Juice"),
        "God Morgon Red Grapefruit Juice",
    ): ("God Morgon|God Morgon juice", "God Morgon 果汁"),
    ("Bravo Apple Juice", "Bravo Orange Juice"): ("Bravo juice", "Bravo 果汁"),
    ("Oatly Oat Milk", "Oatly Natural Oatghurt"): ("Oatly|oat products", "燕麦制品|Oatly"),
    ("Alpro Fresh Soy Milk", "Alpro Shelf Soy Milk", "Alpro Blueberry Soyghurt", "Alpro Vanilla Soyghurt"): (
        *("Alpro|soya products", "大豆制品|Alpro"),
    ),
    ("Yoggi Strawberry Yoghurt", "Yoggi Vanilla Yoghurt"): ("Yoggi|Yoggi yoghurt", "Yoggi 酸奶"),
    ("Yoggi Strawberry Yoghurt", "Alpro Blueberry Soyghurt"): ("berry yoghurt|yoghurt with berries", "莓果酸奶"),
    ("Arla Ecological Medium Fat Milk", "Garant Ecological Medium Fat Milk", "Garant Ecological Standard Milk"): (
        *("organic milk|ecological milk", "有机牛奶"),
    ),
    ("Arla Medium Fat Milk", "Arla Standard Milk", "Arla Lactose Medium Fat Milk", "Arla Ecological Medium Fat Milk"): (
        *("Arla milk", "Arla 牛奶"),
    ),
    ("Arla Lactose Medium Fat Milk",): ("lactose free milk", "无乳糖牛奶"),
    ("Arla Natural Yoghurt", "Arla Natural Mild Low Fat Yoghurt"): ("natural yoghurt|plain yoghurt", "原味酸奶"),
    (*_APPLES, "Lemon"): ("apples and lemons", "苹果和柠檬"),
    ("Red Delicious", "Pink Lady", "Royal Gala", "Pomegranate", "Plum"): ("red fruit", "红色水果"),
    ("Banana", "Lemon", "Golden Delicious", "Yellow Bell Pepper"): ("yellow produce|all in yellow", "黄色果蔬"),
    ("Regular Tomato", "Beef Tomato", "Vine Tomato", "Red Bell Pepper", "Red Beet"): ("red vegetables", "红色蔬菜"),
    (*_GREEN, "Lime", "Kiwi", "Anjou", "Conference"): ("green fruit", "绿色水果"),
    ("Orange", "Satsumas", "Carrots", "Orange Bell Pepper"): ("orange coloured fruit and vegetables", "橙色果蔬"),
}
FOOD_BEFORE, FOOD_BEFORE_ZH = ("", "", "", "", "fresh ", "ripe "), ("", "", "", "", "新鲜", "优质")
FOOD_AFTER, FOOD_AFTER_ZH = ("", "", "", "", "", " for breakfast", " for the family"), ("", "", "", "", "", "推荐")
